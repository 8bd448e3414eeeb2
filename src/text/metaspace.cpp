#include "text/metaspace.h"

#include "text/unicode.h"

namespace tessera {

Metaspace read_metaspace(const Description& description) {
  description.allow({"replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
  Metaspace settings;
  settings.replacement = description.text("replacement");
  if (unicode::count(settings.replacement) != 1) description.refuse("its \"replacement\" is not one character");
  const std::string scheme = description.text("prepend_scheme", "always");
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    description.refuse("unsupported prepend_scheme \"" + scheme + "\"");
  }
  settings.prepend = scheme == "always"  ? Metaspace::Prepend::always
                     : scheme == "first" ? Metaspace::Prepend::first
                                         : Metaspace::Prepend::never;
  if (!description.flag("add_prefix_space", true) && settings.prepend != Metaspace::Prepend::never) {
    description.refuse("its add_prefix_space does not fit its prepend_scheme");
  }
  settings.split = description.flag("split", true);
  return settings;
}

}  // namespace tessera
