#include "api/http_server.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

namespace perjoule::api {
namespace {

// A plain blocking connection to the server.
class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(socket_); }
  void send(std::string_view text) { (void)::send(socket_, text.data(), text.size(), MSG_NOSIGNAL); }
  // Until the text so far ends with `end`, or the server closes.
  std::string read_to(std::string_view end) {
    std::string out;
    char c = 0;
    while (!out.ends_with(end) && ::recv(socket_, &c, 1, 0) == 1) out += c;
    return out;
  }
  std::string read_all() {
    std::string out;
    char bytes[4096];
    for (ssize_t n = 0; (n = ::recv(socket_, bytes, sizeof bytes, 0)) > 0;)
      out.append(bytes, static_cast<std::size_t>(n));
    return out;
  }

 private:
  int socket_;
};

constexpr const char* kHello = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";

Router hello() {
  Router router;
  router.add("GET", "/hello",
             [](const Request&) { return Response{.type = "text/plain", .body = "hello\n"}; });
  router.add("GET", "/counts", [](const Request&) {
    Response response{.type = "text/plain"};
    response.more = [n = 0](std::string& piece) mutable {
      piece = std::to_string(n) + ",";
      return ++n <= 3;
    };
    return response;
  });
  router.add("GET", "/breaks", [](const Request&) {
    Response response{.type = "text/plain", .body = "begin"};
    response.more = [](std::string&) -> bool { throw std::runtime_error("half way"); };
    return response;
  });
  router.add("POST", "/echo", [](const Request& r) { return Response{.type = "text/plain", .body = r.body}; },
             {.body_bytes = 100, .types = {"text/plain"}});
  return router;
}

std::unique_ptr<HttpServer> serve(ServerOptions options = {}) {
  auto server = HttpServer::start(hello(), std::move(options));
  EXPECT_TRUE(server.ok()) << server.error().message();
  return std::move(server).value();
}

TEST(HttpServer, KeepsAConnection) {
  const auto server = serve();
  Client client(server->port());
  for (int i = 0; i < 3; ++i) {
    client.send(kHello);
    const std::string answer = client.read_to("hello\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_NE(answer.find("Content-Length: 6"), std::string::npos) << answer;
  }
  client.send("GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.read_all().ends_with("hello\n"));
  EXPECT_EQ(server->stats().answers_2xx, 4U);
}

TEST(HttpServer, PipelinedRequestsAreAnsweredInOrder) {
  const auto server = serve();
  Client client(server->port());
  client.send(std::string(kHello) + "GET /counts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string all = client.read_all();
  EXPECT_LT(all.find("hello"), all.find("2\r\n0,"));
}

TEST(HttpServer, StreamsInChunks) {
  const auto server = serve();
  Client client(server->port());
  client.send("GET /counts HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string answer = client.read_to("\r\n0\r\n\r\n");
  EXPECT_NE(answer.find("Transfer-Encoding: chunked"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n2\r\n0,\r\n2\r\n1,\r\n2\r\n2,\r\n0\r\n\r\n")) << answer;
  client.send("GET /counts HTTP/1.0\r\n\r\n");
  const std::string old = client.read_all();
  EXPECT_TRUE(old.ends_with("\r\n\r\n0,1,2,")) << old;
}

TEST(HttpServer, ABrokenStreamHasNoEnd) {
  const auto server = serve();
  Client client(server->port());
  client.send("GET /breaks HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(client.read_all().ends_with("5\r\nbegin\r\n"));
}

TEST(HttpServer, ReadsBodiesThatComeLate) {
  const auto server = serve();
  Client client(server->port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nExpect: "
      "100-continue\r\n\r\n");
  EXPECT_EQ(client.read_to("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("abc");
  client.send("def");
  EXPECT_TRUE(client.read_to("abcdef").ends_with("\r\n\r\nabcdef"));
}

TEST(HttpServer, ClosesBehindARefusedBody) {
  const auto server = serve();
  Client client(server->port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: "
      "600000000\r\n\r\n");
  const std::string answer = client.read_all();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 413 ")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
}

TEST(HttpServer, ClosesASlowClient) {
  const auto server = serve({.head_seconds = 0.02, .body_seconds = 0.02});
  Client head(server->port());
  head.send("GET /hello HT");
  EXPECT_EQ(head.read_all(), "");
  Client body(server->port());
  body.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nabc");
  EXPECT_EQ(body.read_all(), "");
  server->stop();  // the client sees the end a moment before it is counted
  EXPECT_EQ(server->stats().timeouts, 2U);
}

TEST(HttpServer, TurnsAwayConnectionsBeyondTheLimit) {
  const auto server = serve({.connections = 1});
  Client first(server->port());
  first.send(kHello);
  first.read_to("hello\n");
  Client second(server->port());
  const std::string answer = second.read_all();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
  EXPECT_NE(answer.find("Retry-After: 1"), std::string::npos);
  first.send(kHello);
  EXPECT_TRUE(first.read_to("hello\n").ends_with("hello\n"));
  EXPECT_EQ(server->stats().refused_connections, 1U);
}

TEST(HttpServer, StopLetsAnAnswerFinish) {
  std::promise<void> begun, finish;
  Router router;
  router.add("GET", "/long", [&](const Request&) {
    begun.set_value();
    finish.get_future().wait();
    return Response{.body = "done"};
  });
  auto server = HttpServer::start(std::move(router), {});
  ASSERT_TRUE(server.ok());
  Client idle((*server)->port()), busy((*server)->port());
  busy.send("GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n");
  begun.get_future().wait();
  auto stopped = std::async(std::launch::async, [&] { (*server)->stop(); });
  EXPECT_EQ(idle.read_all(), "");  // closed by the stop, while the other one is still at work
  finish.set_value();
  EXPECT_TRUE(busy.read_all().ends_with("done"));
  stopped.wait();
}

// Answers only when nobody waits any more.
Router patient(std::promise<void>& begun, std::promise<void>& abandoned) {
  Router router;
  router.add("GET", "/patient", [&](const Request& request) {
    std::promise<void> stopped;
    const std::stop_callback told(request.abandoned, [&] { stopped.set_value(); });
    begun.set_value();
    stopped.get_future().wait();
    abandoned.set_value();
    return Response{.body = "late"};
  });
  return router;
}

TEST(HttpServer, TellsTheHandlerThatItsClientLeft) {
  std::promise<void> begun, abandoned;
  const auto server = HttpServer::start(patient(begun, abandoned), {});
  ASSERT_TRUE(server.ok());
  {
    Client client((*server)->port());
    // A request behind it is no reason to think that the client is there.
    client.send("GET /patient HTTP/1.1\r\nHost: localhost\r\n\r\n" + std::string(kHello));
    begun.get_future().wait();
  }
  abandoned.get_future().wait();
}

TEST(HttpServer, StopTellsTheHandlers) {
  std::promise<void> begun, abandoned;
  const auto server = HttpServer::start(patient(begun, abandoned), {});
  ASSERT_TRUE(server.ok());
  Client client((*server)->port());
  client.send("GET /patient HTTP/1.1\r\nHost: localhost\r\n\r\n");
  begun.get_future().wait();
  (*server)->stop();
  EXPECT_TRUE(client.read_all().ends_with("late"));
}

TEST(HttpServer, StopBreaksOffWhatNobodyReads) {
  std::promise<void> full;
  Router router;
  router.add("GET", "/endless", [&](const Request&) {
    Response response;
    response.more = [&full, n = 0](std::string& piece) mutable {
      piece.assign(1U << 20, 'x');
      if (++n == 1) full.set_value();
      return true;
    };
    return response;
  });
  const auto server = HttpServer::start(std::move(router), {.write_seconds = 1e6, .grace_seconds = 1e6});
  ASSERT_TRUE(server.ok());
  Client client((*server)->port());
  client.send("GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n");
  full.get_future().wait();
  (*server)->stop();
}

TEST(HttpServer, ListensElsewhereOnlyWithTlsAndAToken) {
  const auto refused = HttpServer::start(hello(), {.address = "0.0.0.0"});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().why.find("TLS and a token"), std::string::npos);
  EXPECT_FALSE(HttpServer::start(hello(), {.address = "0.0.0.0", .tokens = {"0123456789abcdef"}}).ok());
  EXPECT_FALSE(HttpServer::start(hello(), {.certificate = "/none"}).ok());
  EXPECT_FALSE(HttpServer::start(hello(), {.certificate = "/none", .key = "/none"}).ok());
  const auto server = serve();
  const auto taken = HttpServer::start(hello(), {.port = server->port()});
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().kind, base::ErrorKind::kIo);
}

TEST(HttpServer, ReadsAddresses) {
  ServerOptions o;
  EXPECT_TRUE(read_address("[::1]:80", o).ok());
  EXPECT_EQ(o.address, "::1");
  EXPECT_EQ(o.port, 80);
  EXPECT_TRUE(read_address("9464", o).ok());
  EXPECT_EQ(o.address, "127.0.0.1");
  EXPECT_FALSE(read_address("127.0.0.1:99999", o).ok());
  EXPECT_FALSE(read_address("127.0.0.1:", o).ok());
  EXPECT_FALSE(read_address(":80", o).ok());
}

}  // namespace
}  // namespace perjoule::api
