/* The metadata block of a model file, and the check that the file runs on this machine. */

#ifndef MLIP_DOCUMENT_H
#define MLIP_DOCUMENT_H

#include "contract.h"
#include "pair_tables.h"

#include <nlohmann/json.hpp>
#include <string>

namespace mlip {

class Archive;

struct Document {
  Metadata metadata;
  PairTableRecord pair_tables;    // empty for most models
  nlohmann_lmp::json content;
};

/* Throws std::runtime_error with a message for the user if the file is not a compiled model or has another format. */
Document read_document(const Archive &, const std::string &path);

/* Throws std::runtime_error with a message for the user unless torch and processor match those of the compilation.
   A file for a GPU needs neither. */
void require_this_machine(const Document &, const std::string &path, const std::string &torch_dir);

}    // namespace mlip

#endif
