// BLEU and chrF against the figures that sacrebleu 2.6.0 gives with its defaults.
#include <gtest/gtest.h>

#include "framework/base/error.h"
#include "frontends/data/metrics.h"

namespace fovea::data {
namespace {

using Lines = std::vector<std::string>;

struct Case {
  const char* name;
  Lines hypotheses, references;
  double bleu, chrf;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"prose",
       {"The quick brown fox jumped over a lazy dog.", "It costs $3,141.59 -- or 10-20% more, she said.",
        "He didn't see the \"red\" car."},
       {"The quick brown fox jumps over the lazy dog.", "It costs $3,141.59, or 10-20% more, he said.",
        "He did not see the \"red\" car!"},
       53.99848971412434,
       77.53497675148323},
      {"unicode",
       {"L’été déjà commencé, naïvement «œuvré».", "東京タワーに登りました。 🙂",
        "Cafe\u0301 à\u00a03,5\u2009€", "Ouvrir le fichier…"},
       {"L’été a déjà commencé: naïvement «œuvre»!", "東京タワーへ登った。 🙂🙂",
        "Café à\u00a03,5 €", "Ouvrir un fichier…"},
       19.2353340111637,
       61.252250020878996},
      {"escapes and numbers",
       {"a &lt;b&gt; &amp; &quot;c&quot; <skipped>d line-\nbreak and\nnext 1.5. e.g., x,,y 3-4 -5 A.B. "
        "[z]{w}"},
       {"a <b> & \"c\" d linebreak and next 1.5 . e.g. , x, y 3 -4 - 5 A.B . [z] {w}"},
       82.59844401203375,
       68.54019007331821},
      {"empty hypotheses",
       {"", "the cat sat on the mat today", ""},
       {"nothing here", "the cat sat on the mat", "gone"},
       60.80253214198355,
       62.1695817203894},
      {"no 4-gram at all", {"yes", "no way"}, {"yes", "no way"}, 0, 100},
      {"smoothed 4-gram",
       {"a b c x d e f", "g h i"},
       {"a b c y d e f", "g h j"},
       37.99178428257963,
       29.305555555555557},
      {"nothing matches", {"abc", "def"}, {"xyz", "uvw"}, 0, 0},
      {"only empty hypotheses", {"", ""}, {"a", "b c d e"}, 0, 0},
      {"empty reference",
       {"spurious words here", "all of this is right"},
       {"", "all of this is right"},
       74.76743906106104,
       100},
      {"equal after tokenizing", {"all of this is right , yes"}, {"all of this is right, yes"}, 100, 100},
  };
  return all;
}

TEST(Metrics, BleuEqualsSacrebleu) {
  for (const Case& c : cases())
    EXPECT_NEAR(corpus_bleu(c.hypotheses, c.references).score, c.bleu, 1e-9) << c.name;
}

TEST(Metrics, ChrfEqualsSacrebleu) {
  for (const Case& c : cases()) EXPECT_NEAR(corpus_chrf(c.hypotheses, c.references), c.chrf, 1e-9) << c.name;
}

TEST(Metrics, BleuTellsItsParts) {
  const BleuScore score = corpus_bleu(cases()[0].hypotheses, cases()[0].references);
  EXPECT_NEAR(score.precisions[0], 82.3529411764706, 1e-9);
  EXPECT_NEAR(score.precisions[1], 64.51612903225806, 1e-9);
  EXPECT_NEAR(score.precisions[2], 50.0, 1e-9);
  EXPECT_NEAR(score.precisions[3], 36.0, 1e-9);
  EXPECT_NEAR(score.brevity_penalty, 0.9710165517924373, 1e-12);
  EXPECT_EQ(score.hyp_len, 34);
  EXPECT_EQ(score.ref_len, 35);
}

TEST(Metrics, Tokens13a) {
  EXPECT_EQ(tokenize_13a("The quick brown fox jumped over a lazy dog. \n"),
            "The quick brown fox jumped over a lazy dog .");
  EXPECT_EQ(tokenize_13a("L’été déjà commencé, naïvement «œuvré»."),
            "L’été déjà commencé , naïvement «œuvré» .");
  EXPECT_EQ(tokenize_13a(cases()[2].hypotheses[0]),
            "a < b > & \" c \" d linebreak and next 1.5 . e . g . , x , , y 3 - 4 -5 A . B . [ z ] { w }");
  EXPECT_EQ(tokenize_13a(""), "");
}

TEST(Metrics, RefusesWhatCannotBeScored) {
  try {
    corpus_bleu({"a", "b"}, {"a"});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
    EXPECT_EQ(error.message(), "2 hypotheses for 1 references");
  }
  EXPECT_THROW(corpus_chrf({}, {}), Error);
  try {
    corpus_chrf({"fine", "ab\xFF"}, {"x", "y"});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
    EXPECT_EQ(error.message(), "hypothesis 1 is not UTF-8 at byte 2");
  }
}

}  // namespace
}  // namespace fovea::data
