// Is this text UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF)? Thread rule: pure
// function.
#pragma once

#include <string_view>

namespace perjoule::bus {

bool is_valid_utf8(std::string_view text);

}  // namespace perjoule::bus
