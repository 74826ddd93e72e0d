#include "api/router.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <nlohmann/json.hpp>

#include "api/http_server.hpp"

namespace perjoule::api {
namespace {

std::string packed(const std::string& text) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&z, text.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

Router test_router() {
  Router router;
  const auto echo = [](const Request& r) {
    Response response;
    response.type = "text/plain";
    for (const auto& [name, value] : r.parameters) response.body += name + "=" + value + ";";
    response.body += r.body;
    return response;
  };
  router.add("GET", "/api/v1/health", echo, {.open = true});
  router.add("GET", "/api/v1/explain/{kind}/{id...}", echo);
  router.add("POST", "/api/v1/write/{table}", echo, {.body_bytes = 1000, .types = {"text/plain"}});
  router.add("GET", "/throws", [](const Request&) -> Response { throw std::runtime_error("a defect"); });
  return router;
}

struct Answer {
  unsigned status = 0;
  std::string head, body;
};

Answer ask(const std::string& bytes, GateOptions options = {}) {
  const Gate gate(test_router(), std::move(options));
  const std::string text = answer_bytes(gate, bytes);
  Answer answer;
  if (text.size() < 12) return answer;
  answer.status = static_cast<unsigned>(std::stoi(text.substr(9, 3)));
  answer.head = text.substr(0, text.find("\r\n\r\n"));
  answer.body = text.substr(answer.head.size() + 4);
  return answer;
}

std::string post(const std::string& body, const std::string& more = "") {
  return "POST /api/v1/write/samples HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n" + more +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string get(const std::string& target, const std::string& more = "") {
  return "GET " + target + " HTTP/1.1\r\nHost: 127.0.0.1:9464\r\n" + more + "\r\n";
}

TEST(Router, TakesPartsOutOfThePath) {
  EXPECT_EQ(ask(get("/api/v1/explain/request/r1")).body, "kind=request;id=r1;");
  EXPECT_EQ(ask(get("/api/v1/explain/meter/s/n/gpu")).body, "kind=meter;id=s/n/gpu;");
  EXPECT_EQ(ask(get("/api/v1/explain/meter/s%2Fn%20x")).body, "kind=meter;id=s/n x;");
  EXPECT_EQ(ask(get("/api/v1/explain/a%2Fb/c")).body, "kind=a/b;id=c;");
}

TEST(Router, SaysWhatIsWrong) {
  const Answer none = ask(get("/api/v1/helth"));
  EXPECT_EQ(none.status, 404U);
  const auto json = nlohmann::json::parse(none.body);
  EXPECT_EQ(json["error"]["where"], "/api/v1/helth");
  EXPECT_NE(json["error"]["hint"].get<std::string>().find("/api/v1/health"), std::string::npos);
  const Answer method = ask(get("/api/v1/write/samples"));
  EXPECT_EQ(method.status, 405U);
  EXPECT_NE(method.head.find("Allow: POST, OPTIONS"), std::string::npos);
  EXPECT_EQ(ask(get("/api/v1/explain/x/%zz")).status, 404U);
  EXPECT_EQ(ask(get("/throws")).status, 500U);
  EXPECT_EQ(ask("BLAH\r\n\r\n").status, 400U);
  EXPECT_EQ(ask(get("/api/v1/health", "X: " + std::string(20'000, 'x') + "\r\n")).status, 431U);
}

TEST(Router, AnswersHeadAndOptions) {
  const Answer head = ask("HEAD /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(head.status, 200U);
  EXPECT_EQ(head.body, "");
  const Answer options = ask("OPTIONS /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(options.status, 204U);
  EXPECT_NE(options.head.find("Allow: GET, HEAD, OPTIONS"), std::string::npos);
}

TEST(Gate, ComparesTokens) {
  const GateOptions options{{"0123456789abcdef"}, false};
  const std::string right = "Authorization: Bearer 0123456789abcdef\r\n";
  EXPECT_EQ(ask(get("/api/v1/health"), options).status, 200U);
  EXPECT_EQ(ask(get("/api/v1/explain/a/b"), options).status, 401U);
  EXPECT_EQ(ask(get("/nothing"), options).status, 401U);
  EXPECT_EQ(ask(get("/api/v1/explain/a/b", right), options).status, 200U);
  EXPECT_EQ(ask(get("/api/v1/explain/a/b", "Authorization: Bearer 0123456789abcdeX\r\n"), options).status,
            401U);
  EXPECT_EQ(ask(get("/api/v1/explain/a/b", "Authorization: Bearer \r\n"), options).status, 401U);
}

TEST(Gate, RefusesPagesOfOtherSites) {
  EXPECT_EQ(ask("GET /api/v1/health HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403U);
  EXPECT_EQ(ask("GET /api/v1/health HTTP/1.1\r\nHost: 127.evil.example\r\n\r\n").status, 403U);
  EXPECT_EQ(ask(get("/api/v1/health", "Origin: http://evil.example\r\n")).status, 403U);
  EXPECT_EQ(ask(get("/api/v1/health", "Origin: http://127.0.0.1:9464\r\n")).status, 200U);
  EXPECT_EQ(ask("GET /api/v1/health HTTP/1.1\r\nHost: [::1]:9464\r\n\r\n").status, 200U);
}

TEST(Gate, BoundsBodies) {
  EXPECT_EQ(ask(post("abc")).body, "table=samples;abc");
  EXPECT_EQ(ask(post(std::string(1001, 'x'))).status, 413U);
  EXPECT_EQ(ask(post("{}", "Content-Type: text/html\r\n")).status, 200U);  // the first one counts
  EXPECT_EQ(ask("POST /api/v1/write/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx").status,
            415U);
  const std::string chunked =
      "POST /api/v1/write/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: "
      "chunked\r\n\r\n";
  EXPECT_EQ(ask(chunked + "3\r\nabc\r\n0\r\n\r\n").body, "table=a;abc");
  EXPECT_EQ(ask(chunked + "400\r\n" + std::string(1024, 'x') + "\r\n0\r\n\r\n").status, 413U);
  EXPECT_EQ(ask("GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc").status,
            413U);
}

TEST(Gate, UnpacksGzipWithinTheLimit) {
  const std::string gzip = "Content-Encoding: gzip\r\n";
  EXPECT_EQ(ask(post(packed("hello"), gzip)).body, "table=samples;hello");
  EXPECT_EQ(ask(post(packed(std::string(1000, 'x')), gzip)).status, 200U);
  EXPECT_EQ(ask(post(packed(std::string(1001, 'x')), gzip)).status, 413U);
  EXPECT_EQ(ask(post(packed(std::string(500'000, '\0')), gzip)).status, 413U);  // a bomb of 500 bytes
  EXPECT_EQ(ask(post("hello", gzip)).status, 400U);
  EXPECT_EQ(ask(post(packed("hello").substr(0, 15), gzip)).status, 400U);
  EXPECT_EQ(ask(post("hello", "Content-Encoding: br\r\n")).status, 415U);
}

TEST(Message, ReadsTargets) {
  Request r;
  ASSERT_TRUE(read_target("/a?x=1%202&y=a+b&z&&w==", r));
  EXPECT_EQ(r.path, "/a");
  EXPECT_EQ(r.query_value("x"), "1 2");
  EXPECT_EQ(r.query_value("y"), "a b");
  EXPECT_EQ(r.query_value("z"), "");
  EXPECT_EQ(r.query_value("w"), "=");
  EXPECT_EQ(r.query_value("v"), std::nullopt);
  EXPECT_FALSE(read_target("http://x/", r));
  EXPECT_FALSE(read_target("/a?x=%0", r));
  EXPECT_FALSE(read_target("/a?x=%00", r));
}

TEST(Message, ChoosesWhatIsAccepted) {
  Request r;
  EXPECT_EQ(r.accepted({"a/b", "text/csv"}), "a/b");
  r.headers = {{"accept", "text/html, text/*;q=0.5"}};
  EXPECT_EQ(r.accepted({"a/b", "text/csv; charset=utf-8"}), "text/csv; charset=utf-8");
}

}  // namespace
}  // namespace perjoule::api
