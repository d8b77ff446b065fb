/* What this processor can do, and what a model file asks for. */

#ifndef MLIP_MACHINE_H
#define MLIP_MACHINE_H

#include <string>
#include <vector>

namespace mlip {

/* Architecture as uname -m names it. */
std::string machine_architecture();

/* Those of the wanted instruction sets (names as in /proc/cpuinfo) that this processor lacks. */
std::vector<std::string> missing_instructions(const std::vector<std::string> &wanted);

/* Number of this process among those of its node, from the launcher's environment; 0 if it says nothing. */
int local_rank();

}    // namespace mlip

#endif
