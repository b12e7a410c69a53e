// Lists in a text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace backfill {

// The parts one after the other, with the separator between them.
std::string joined(const std::vector<std::string> &parts, std::string_view separator = ", ");

}  // namespace backfill
