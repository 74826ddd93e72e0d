#include "bench/bus/peers/sql.hpp"

namespace perjoule::bench {
namespace {

using std::to_string;

std::string whole(const std::string& e, Dialect d) {
  return d == Dialect::kClickhouse ? "toInt64(" + e + ")"
         : d == Dialect::kDuckdb   ? "CAST(" + e + " AS BIGINT)"
                                   : e;
}

// Division of whole numbers without a rest; both sides positive.
std::string divided(const std::string& a, const std::string& b, Dialect d) {
  return d == Dialect::kClickhouse ? "intDiv(" + a + "," + b + ")"
         : d == Dialect::kDuckdb   ? "(" + a + "//" + b + ")"
                                   : "(" + a + "/" + b + ")";
}

std::string microjoules(const std::string& e, Dialect d) {
  return d == Dialect::kSqlite ? "CAST(round(" + e + "*1e6) AS INTEGER)" : whole("round(" + e + "*1e6)", d);
}

std::string one_request(const std::string& request, Dialect d) {
  return "SELECT t1_ns," + whole("device", d) + "," + whole("kernel", d) + "," + whole("phase", d) +
         ",energy_uj FROM joules WHERE request='" + request + "'";
}

std::string tenant_model(const QueryParams& p, Dialect d) {
  return "SELECT " + whole("tenant", d) + "," + whole("model", d) + "," + whole("sum(energy_uj)", d) + "," +
         whole("count(*)", d) + " FROM joules WHERE t1_ns>=" + to_string(p.hour_from_ns) + " AND t1_ns<" +
         to_string(p.hour_to_ns) + " GROUP BY tenant,model";
}

std::string top_kernels(const QueryParams& p, Dialect d) {
  return "SELECT " + whole("kernel", d) + "," + whole("sum(energy_uj)", d) +
         " AS energy FROM joules WHERE model=" + to_string(p.model) +
         " AND epoch>=" + to_string(p.epoch_from) + " AND epoch<" + to_string(p.epoch_to) +
         " GROUP BY kernel ORDER BY energy DESC,kernel LIMIT " + to_string(kTopKernelCount);
}

std::string device_signals(const QueryParams& p, Dialect d) {
  const std::string bucket = divided("(t_ns-" + to_string(kStartNs) + ")", to_string(kBucketNs), d);
  return "SELECT " + whole("signal", d) + "," + bucket + " AS bucket," + whole("count(*)", d) +
         ",min(value),max(value) FROM samples WHERE device=" + to_string(p.device) +
         " GROUP BY signal,bucket";
}

std::string hot_requests(const QueryParams& p, Dialect d) {
  const std::string second = "1000000000";
  // ClickHouse works a named query out again wherever it stands, so there it stands once.
  const char* again = d == Dialect::kClickhouse ? "" : " AND request IN (SELECT request FROM great)";
  return "WITH great AS (SELECT request,energy FROM (SELECT request,energy,"
         "row_number() OVER (ORDER BY energy DESC,request) AS place,count(*) OVER () AS n FROM "
         "(SELECT request," +
         whole("sum(energy_uj)", d) +
         " AS energy FROM joules GROUP BY request) AS totals) AS ranked WHERE place<=" +
         divided("n", "100", d) +
         ") SELECT request,energy FROM great WHERE request IN (SELECT request FROM joules WHERE (device," +
         divided("t1_ns", second, d) + ") IN (SELECT device," + divided("t_ns", second, d) +
         " FROM samples WHERE signal=" + to_string(kTemperature) + " AND value>" + to_string(p.hot_celsius) +
         ")" + again + ")";
}

std::string heat_map(Dialect d) {
  const std::string node = divided("device", to_string(kDevicesPerNode), d);
  return "SELECT " + whole(node, d) + " AS node," + whole("phase", d) + "," + whole("sum(energy_uj)", d) +
         "," + whole("count(*)", d) + " FROM joules GROUP BY node,phase";
}

std::string audit(Dialect d) {
  return "SELECT " + whole("m.device", d) + ",metered," + whole("coalesce(attributed,0)", d) + "," +
         whole("metered-coalesce(attributed,0)", d) + " FROM (SELECT device," + microjoules("max(value)", d) +
         "-" + microjoules("min(value)", d) +
         " AS metered FROM samples WHERE signal=" + to_string(kEnergyCounter) +
         " GROUP BY device) AS m LEFT JOIN (SELECT device," + whole("sum(energy_uj)", d) +
         " AS attributed FROM joules GROUP BY device) AS j ON m.device=j.device";
}

// SQLite takes a bare column from the row that holds the maximum.
std::string last_values(Dialect d) {
  const char* last = d == Dialect::kClickhouse ? "argMax(value,t_ns)"
                     : d == Dialect::kDuckdb   ? "arg_max(value,t_ns)"
                                               : "value";
  return "SELECT " + whole("device", d) + "," + whole("signal", d) + ",max(t_ns)," + last +
         " FROM samples GROUP BY device,signal";
}

void add(std::vector<NameRow>& out, const char* kind, const std::vector<std::string>& list) {
  for (std::size_t i = 0; i < list.size(); ++i) out.push_back({kind, i, &list[i]});
}

}  // namespace

std::string sql_text(QueryId id, const QueryParams& params, Dialect dialect) {
  switch (id) {
    case QueryId::kRequest:
      return one_request(params.request, dialect);
    case QueryId::kAbsentRequest:
      return one_request(params.absent_request, dialect);
    case QueryId::kTenantModel:
      return tenant_model(params, dialect);
    case QueryId::kTopKernels:
      return top_kernels(params, dialect);
    case QueryId::kDeviceSignals:
      return device_signals(params, dialect);
    case QueryId::kHotRequests:
      return hot_requests(params, dialect);
    case QueryId::kHeatMap:
      return heat_map(dialect);
    case QueryId::kAudit:
      return audit(dialect);
    case QueryId::kLastValues:
      return last_values(dialect);
  }
  return {};
}

std::vector<NameRow> name_rows() {
  std::vector<NameRow> out;
  const Names& n = names();
  add(out, "device", n.devices);
  add(out, "tenant", n.tenants);
  add(out, "model", n.models);
  add(out, "epoch", n.epochs);
  add(out, "kernel", n.kernels);
  add(out, "phase", n.phases);
  add(out, "share", n.shares);
  add(out, "signal", n.signals);
  return out;
}

std::string insert_names() {
  std::string out = "INSERT INTO names VALUES ";
  for (const NameRow& row : name_rows()) {
    if (out.back() == ')') out += ',';
    out += std::string("('") + row.kind + "'," + to_string(row.place) + ",'" + *row.name + "')";
  }
  return out;
}

}  // namespace perjoule::bench
