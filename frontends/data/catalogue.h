// Translations out of gettext catalogues (.mo files), which almost every Linux system carries: parallel text
// for free.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "frontends/data/pairs.h"

namespace fovea::data {

/// One message of a catalogue, as UTF-8. A message with plural forms gives one entry per form.
struct CatalogueEntry {
  std::string source;        ///< the singular msgid, with its context and U+0004 in front where it has one
  std::string target;        ///< the translation
  int64_t plural_form = -1;  ///< which plural form `target` is; -1 for a message without plurals
};

/// The messages of a catalogue in the order of the file, of either byte order. The charset is what the header
/// entry says (ASCII where it is silent); a message that comes twice keeps its first place and its last
/// translation. Corrupt, with path, byte offset and field, for whatever is not a catalogue or is cut short.
std::vector<CatalogueEntry> parse_catalogue(std::string_view bytes, const std::string& path);

/// parse_catalogue of a file's bytes; IO when it cannot be read.
std::vector<CatalogueEntry> read_catalogue(const std::string& path);

/// Source and target of a message made fit for training: the context goes, keyboard accelerators (_ ~ &
/// before a word character) go, white space around goes. False when the message is not wanted: the source
/// holds a line end or one of % < { $, has no a-z, is not of 1 to 24 words, or equals the target; or the
/// target is empty.
bool clean_message(std::string_view source, std::string_view target, TextPair& out);

/// All wanted messages of ROOT/**/LANG/LC_MESSAGES/*.mo, catalogues in the order of their paths; of equal
/// sources the first stays. Links are followed, hidden folders are not entered. Files that cannot be read as
/// catalogues are left out and reported in `skipped`, one error text each. InvalidArgument when there is no
/// catalogue at all, or none of this language (then the message lists the languages that are there).
std::vector<TextPair> read_pairs(const std::string& root, const std::string& lang,
                                 std::vector<std::string>* skipped = nullptr);

}  // namespace fovea::data
