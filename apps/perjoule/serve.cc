// `perjoule serve`: the store's engine behind a network face. Node is the one place where the pieces of a
// running server are put together; what else listens (blocks over TCP) is started and stopped there.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "api/http_server.hpp"
#include "api/service.hpp"
#include "base/clock.hpp"
#include "base/env.hpp"
#include "bus/engine.hpp"
#include "bus/retention.hpp"
#include "command_line.hpp"
#include "output.hpp"
#include "wire/server.hpp"

namespace perjoule::app {
namespace {

struct ServeArgs {
  std::string store = "perjoule-store", http = "127.0.0.1:9464", blocks = "127.0.0.1:9465";
  std::string token_file, certificate, key;
  std::vector<std::string> keep;
  double client_timeout = 10;
  std::size_t connections = 256;
  bool read_only = false, sql = false;
};

// The signals that end a server, held back from every thread of it and waited for here. They stay held back,
// so that an impatient second one does not break off the sealing.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }
  int wait() const {
    int number = 0;
    sigwait(&set_, &number);
    return number;
  }

 private:
  sigset_t set_{};
};

class Node {
 public:
  static base::Result<std::unique_ptr<Node>> start(const ServeArgs& args) {
    auto node = std::unique_ptr<Node>(new Node);
    PJ_TRY(node->open(args));
    return node;
  }

  std::string ready_line() const {
    if (blocks_ == nullptr)
      return fmt::format("perjoule serve: {}, store {}, read only\n", http_->url(), store_);
    return fmt::format("perjoule serve: {}, blocks on port {}, store {}\n", http_->url(), blocks_->port(),
                       store_);
  }

  // No more requests, then everything that was acknowledged into Parquet files.
  base::Status stop() {
    if (retention_ != nullptr) retention_->stop();
    if (blocks_ != nullptr) blocks_->stop();
    http_->stop();
    service_->set_server(nullptr);
    return engine_ == nullptr ? base::ok_status() : engine_->seal_all();
  }

 private:
  base::Status open(const ServeArgs& args) {
    base::Env& env = base::posix_env();
    store_ = args.store;
    api::ServerOptions server;
    PJ_TRY(api::read_address(args.http, server));
    if (!args.token_file.empty()) {
      PJ_ASSIGN(const std::string text, env.read_file(args.token_file, 1U << 20));
      PJ_ASSIGN(server.tokens, wire::read_tokens(text, args.token_file));
    }
    server.certificate = args.certificate;
    server.key = args.key;
    server.connections = args.connections;
    server.head_seconds = args.client_timeout;
    server.body_seconds = server.write_seconds = 6 * args.client_timeout;
    PJ_TRY(api::check_options(server));
    std::vector<bus::KeepRule> rules;
    for (const auto& text : args.keep) {
      PJ_ASSIGN(const auto rule, bus::parse_keep_rule(text));
      rules.push_back(rule);
    }
    if (args.read_only) {
      PJ_ASSIGN(const auto store, bus::StoreReader::open(env, args.store));
    } else {
      bus::EngineOptions options;
      options.meta = {{"build", PERJOULE_VERSION}, {"written_by", "perjoule serve"}};
      PJ_ASSIGN(engine_, bus::Engine::open(env, args.store, std::move(options)));
    }
    const std::string start = fmt::format("{:x}-{}", clock_.now().ns, ::getpid());
    api::ServiceOptions service{args.store, start};
    service.sql = args.sql;
    service_ = std::make_unique<api::Service>(env, clock_, engine_.get(), std::move(service));
    PJ_ASSIGN(http_, api::HttpServer::start(service_->router(), std::move(server)));
    service_->set_server(http_.get());
    if (engine_ != nullptr) {
      retention_ = std::make_unique<bus::Retention>(*engine_, clock_, std::move(rules));
      retention_->start();
    }
    return engine_ == nullptr ? base::ok_status() : listen_for_blocks(args);
  }

  base::Status listen_for_blocks(const ServeArgs& args) {
    api::ServerOptions place;
    PJ_TRY(api::read_address(args.blocks, place));
    wire::ServerOptions options;
    options.address = place.address;
    options.port = place.port;
    options.token_file = args.token_file;
    options.certificate_file = args.certificate;
    options.key_file = args.key;
    PJ_ASSIGN(blocks_, wire::Server::start(*engine_, std::move(options)));
    return base::ok_status();
  }

  base::SystemClock clock_;
  std::string store_;
  std::unique_ptr<bus::Engine> engine_;  // nullptr: read only
  std::unique_ptr<bus::Retention> retention_;
  std::unique_ptr<api::Service> service_;
  std::unique_ptr<api::HttpServer> http_;
  std::unique_ptr<wire::Server> blocks_;  // nullptr: read only
};

base::Result<Answer> serve(const CommandLine& line, const ServeArgs& args) {
  const StopSignals signals;
  PJ_ASSIGN(const auto node, Node::start(args));
  PJ_TRY(write_result(node->ready_line()));
  const int number = signals.wait();
  line.note(number == SIGINT ? "interrupted: sealing" : "asked to end: sealing");
  PJ_TRY(node->stop());
  return Answer{};
}

}  // namespace

void add_serve_command(CommandLine& line) {
  auto args = std::make_shared<ServeArgs>();
  CLI::App& c = line.add(
      line.root(),
      {"serve",
       "take events into a store, and answer from it",
       "Blocks of rows over TCP (perjoule's own clients), OpenTelemetry metrics on /v1/metrics, JSON lines "
       "on /api/v1/write/TABLE, a scrape for Prometheus on "
       "/metrics, "
       "the questions top, explain and query on /api/v1. What was acknowledged is on the disk. SIGTERM or "
       "Ctrl-C ends "
       "it: it seals the store and leaves with status 0.",
       {"perjoule serve",
        "perjoule serve --store /var/lib/perjoule --keep joules=90d --keep samples=30d --sql",
        "perjoule serve --http 0.0.0.0:9464 --certificate node.pem --key node.key --token-file tokens"}});
  line.folder(c.add_option("--store", args->store, "folder of the store; made if it is not there")
                  ->capture_default_str());
  c.add_option("--http", args->http, "where to listen; port 0 takes a free one")
      ->type_name("ADDRESS:PORT")
      ->capture_default_str();
  c.add_option("--blocks", args->blocks, "where blocks of rows are taken; port 0 takes a free one")
      ->type_name("ADDRESS:PORT")
      ->capture_default_str();
  line.file(c.add_option("--token-file", args->token_file,
                         "tokens of both servers, one a line; needed beyond the loopback"));
  line.file(c.add_option("--certificate", args->certificate, "certificate chain for TLS (PEM)"));
  line.file(c.add_option("--key", args->key, "its private key (PEM)"));
  c.add_option(
       "--keep", args->keep,
       "how long a table's rows are kept, for example joules=90d; may be said for several tables. Without "
       "it they are kept for ever. Rollups keep the sums")
      ->type_name("TABLE=AGE");
  c.add_option("--client-timeout", args->client_timeout,
               "seconds for the head of a request; six times as long for a body")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.01, 3600.0).description(""))
      ->capture_default_str();
  line.count(
      c.add_option("--connections", args->connections, "open at the same time")->capture_default_str());
  c.add_flag("--sql", args->sql,
             "answer read-only SQL on /api/v1/query: at most 60 s, 2 GB and 1,000,000 rows, two at a time");
  c.add_flag("--read-only", args->read_only, "answer only; the store may have another writer");
  line.on_chosen(c, [&line, args] { return serve(line, *args); });
}

}  // namespace perjoule::app
