#include "command_page.hpp"

namespace perjoule::app {
namespace {

void gather(const CommandPage& page, std::vector<const CommandPage*>& out) {
  out.push_back(&page);
  for (const CommandPage& sub : page.commands) gather(sub, out);
}

}  // namespace

std::vector<const CommandPage*> all_pages(const CommandPage& root) {
  std::vector<const CommandPage*> out;
  gather(root, out);
  return out;
}

std::string manual_name(const CommandPage& page) {
  std::string name = page.path;
  for (char& c : name) {
    if (c == ' ') c = '-';
  }
  return name;
}

const CommandPage* find_page(const CommandPage& root, const std::vector<std::string>& words) {
  std::string name;
  for (const std::string& word : words) name += (name.empty() ? "" : "-") + word;
  if (name.empty()) return &root;
  for (const CommandPage* page : all_pages(root)) {
    const std::string known = manual_name(*page);
    if (known == name || known == root.name + "-" + name) return page;
  }
  return nullptr;
}

}  // namespace perjoule::app
