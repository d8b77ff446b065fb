/* Compares this processor with the requirements of a model file. */

#ifndef MLIP_MACHINE_H
#define MLIP_MACHINE_H

#include <string>
#include <vector>

namespace mlip {

/* The architecture as printed by uname -m. */
std::string machine_architecture();

/* The wanted instruction sets (names as in /proc/cpuinfo) that this processor lacks. */
std::vector<std::string> missing_instructions(const std::vector<std::string> &wanted);

/* Rank of this process within its node, from the launcher's environment; 0 if it is not set. */
int local_rank();

}    // namespace mlip

#endif
