#pragma once
#include "text/aligned_text.h"

namespace tessera {

enum class NormalizationForm { nfc, nfd, nfkc, nfkd };

/// Unicode Standard Annex 15.  Where characters are joined, the result came from the first of them; where one is taken
/// apart, each part came from it.
void normalize(AlignedText& text, NormalizationForm form);

}  // namespace tessera
