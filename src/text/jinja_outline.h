#pragma once
#include <string>
#include <string_view>

namespace tessera {

/// A Jinja template in one canonical writing, so that two that differ only in spaces, quotes, x['y'] for x.y, comments
/// or trimming compare equal. Statements are in {}, output in []:
///   {for message in messages}["<|im_start|>"+message.role+"\n"+message.content]{endfor}
/// Text outside of tags is trimmed as transformers does (trim_blocks, lstrip_blocks).  Nothing is evaluated.
std::string jinja_outline(std::string_view jinja);

}  // namespace tessera
