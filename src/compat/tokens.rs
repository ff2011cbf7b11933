//! Tokens as the replaced step's library cuts them (spaCy's rules for English): pieces between single spaces, marks at their ends and
//! some inside them apart, abbreviations whole. Names of a gazetteer match whole tokens, so where a token ends matters.

use std::sync::LazyLock;

use fancy_regex::Regex;

use crate::domain::norm::is_space;

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Code points.
    pub start: usize,
    pub end: usize,
    /// In lower case.
    pub lower: String,
    /// White space that is more than one space.
    pub space: bool,
}

const ABBREVIATIONS: &[&str] = &[
    "Adm.", "Ak.", "Ala.", "Apr.", "Ariz.", "Ark.", "Aug.", "Bros.", "Calif.", "Co.", "Colo.", "Conn.", "Corp.", "D.C.", "Dec.", "Del.",
    "Dr.", "E.G.", "E.g.", "Feb.", "Fla.", "Ga.", "Gen.", "Gov.", "I.E.", "I.e.", "Ia.", "Id.", "Ill.", "Inc.", "Ind.", "Jan.", "Jr.",
    "Jul.", "Jun.", "Kan.", "Kans.", "Ky.", "La.", "Ltd.", "Mar.", "Mass.", "Md.", "Messrs.", "Mich.", "Minn.", "Miss.", "Mo.", "Mont.",
    "Mr.", "Mrs.", "Ms.", "Mt.", "N.C.", "N.D.", "N.H.", "N.J.", "N.M.", "N.Y.", "Neb.", "Nebr.", "Nev.", "Nov.", "Oct.", "Okla.", "Ore.",
    "Pa.", "Ph.D.", "Prof.", "Rep.", "Rev.", "S.C.", "Sen.", "Sep.", "Sept.", "St.", "Tenn.", "Va.", "Wash.", "Wis.", "a.m.", "co.",
    "e.g.", "i.e.", "p.m.", "v.s.", "vs.", "'s", "'S", "'d", "'ll", "'re", "'em", "''", "8)", "8-)", "8D", "8-D", "XD", "C++", "and/or",
    "w/o", "o'clock", "O'clock", "ma'am", "Ma'am",
];
/// What stands before `n't`, and before the other contractions.
const VERBS: &[&str] = &[
    "ai", "are", "ca", "could", "dare", "did", "does", "do", "had", "has", "have", "is", "may", "might", "must", "need", "ought", "sha",
    "should", "was", "were", "wo", "would",
];
const PRONOUNS: &[&str] =
    &["i", "you", "he", "she", "it", "we", "they", "what", "when", "where", "who", "why", "how", "there", "that", "this", "these", "those"];
const CONTRACTIONS: &[&str] = &["'m", "'ll", "'d", "'re", "'ve", "'s"];

const PUNCTUATION: &str = r"…,:;!?¿؟¡()\[\]{}<>_#*&。？！，、；：～·।،۔؛٪";
const QUOTES: &str = r#"'"”“`‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧"#;
const CURRENCY: &str = r"(?:[$£€¥฿₠-₿﷼]|US\$|C\$|A\$)";

fn compiled(pattern: &str) -> Regex {
    let pattern = pattern.replace("{punctuation}", PUNCTUATION).replace("{quotes}", QUOTES).replace("{currency}", CURRENCY);
    Regex::new(&pattern).expect("a test compiles it")
}

static PREFIX: LazyLock<Regex> = LazyLock::new(|| compiled(r"^(?:[§%=—–]|\+(?![0-9])|[{punctuation}]|\.\.+|[{quotes}]|{currency}|\p{So})"));
static SUFFIX: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"(?:[{punctuation}]|\.\.+|[{quotes}]|\p{So}|['’][sS]|[—–]|(?<=[0-9])\+|(?<=°[FfCcKk])\.|(?<=[0-9]){currency}|(?<=[0-9])(?:km[²³]?|[mdc]?m[²³]?|mm[²³]?|ha|[µn]m|yd|in|ft|kg|[mµ]?g|t|lb|oz|m/s|km/h|kmh|mph|hPa|Pa|mbar|[mMkKgGtT]b|[MKGT]B|[TGMK%])|(?<=[0-9\p{Ll}\p{Lo}%²+{punctuation}{quotes}-])\.|(?<=[\p{Lu}\p{Lo}][\p{Lu}\p{Lo}])\.)$",
    )
});
static INFIX: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"\.\.+|…|\p{So}|(?<=[0-9])[+*^-](?=[0-9-])|(?<=[\p{Ll}\p{Lo}{quotes}])\.(?=[\p{Lu}\p{Lo}{quotes}])|(?<=\p{L}),(?=\p{L})|(?<=[\p{L}0-9])(?:-|–|—|--|---|——|~)(?=\p{L})|(?<=[\p{L}0-9])[:<>=/](?=\p{L})",
    )
});
static URL: LazyLock<Regex> = LazyLock::new(|| {
    compiled(
        r"^(?:[\w+.-]{2,}://)?(?:\S+(?::\S*)?@)?(?:(?:[A-Za-z0-9\x{a1}-\x{ffff}][A-Za-z0-9\x{a1}-\x{ffff}_-]{0,62})?[A-Za-z0-9\x{a1}-\x{ffff}]\.)+[\p{Ll}\p{Lo}]{2,63}(?::\d{2,5})?(?:[/?#]\S*)?$",
    )
});

/// The tokens of a text, white space among them where it is more than one space.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut out = Tokens { text, byte: 0, point: 0, all: Vec::new() };
    let mut rest = 0;
    while let Some(first) = text[rest..].chars().next() {
        let space = is_space(first);
        let end = text[rest..].find(|c| is_space(c) != space).map_or(text.len(), |length| rest + length);
        if space {
            // One space is what lies between two tokens; what follows it is a token of its own.
            let begin = rest + usize::from(first == ' ');
            out.push(begin, end, true);
        } else {
            for (from, to) in pieces(&text[rest..end]) {
                out.push(rest + from, rest + to, false);
            }
        }
        rest = end;
    }
    out.all
}

struct Tokens<'a> {
    text: &'a str,
    byte: usize,
    point: usize,
    all: Vec<Token>,
}

impl Tokens<'_> {
    /// Byte ranges in ascending order.
    fn push(&mut self, begin: usize, end: usize, space: bool) {
        if begin >= end {
            return;
        }
        let start = self.point + self.text[self.byte..begin].chars().count();
        let stop = start + self.text[begin..end].chars().count();
        (self.byte, self.point) = (end, stop);
        self.all.push(Token { start, end: stop, lower: self.text[begin..end].to_lowercase(), space });
    }
}

/// The byte ranges of a chunk's tokens.
fn pieces(chunk: &str) -> Vec<(usize, usize)> {
    if let Some(parts) = special(chunk) {
        return shifted(&parts, 0);
    }
    let (mut begin, mut end) = (0, chunk.len());
    let (mut before, mut after) = (Vec::new(), Vec::new());
    while begin < end && special(&chunk[begin..end]).is_none() {
        let inside = &chunk[begin..end];
        let prefix = length(&PREFIX, inside);
        if prefix > 0 && prefix < inside.len() && special(&inside[prefix..]).is_some() {
            before.push((begin, begin + prefix));
            begin += prefix;
            break;
        }
        let suffix = length(&SUFFIX, &inside[prefix..]);
        if suffix > 0 && suffix < inside.len() && special(&inside[..inside.len() - suffix]).is_some() {
            after.push((end - suffix, end));
            end -= suffix;
            break;
        }
        if prefix + suffix == 0 {
            break;
        }
        if prefix > 0 {
            before.push((begin, begin + prefix));
            begin += prefix;
        }
        if suffix > 0 {
            after.push((end - suffix, end));
            end -= suffix;
        }
    }
    if begin < end {
        before.extend(middle(&chunk[begin..end], begin));
    }
    before.extend(after.into_iter().rev());
    before
}

/// What is left between prefixes and suffixes.
fn middle(inside: &str, offset: usize) -> Vec<(usize, usize)> {
    if let Some(parts) = special(inside) {
        return shifted(&parts, offset);
    }
    if matches(&URL, inside) {
        return vec![(offset, offset + inside.len())];
    }
    let (mut out, mut from) = (Vec::new(), 0);
    for found in INFIX.find_iter(inside).map_while(Result::ok) {
        if found.start() > from {
            out.push((offset + from, offset + found.start()));
        }
        out.push((offset + found.start(), offset + found.end()));
        from = found.end();
    }
    if from < inside.len() {
        out.push((offset + from, offset + inside.len()));
    }
    out
}

fn shifted(lengths: &[usize], offset: usize) -> Vec<(usize, usize)> {
    let mut at = offset;
    let mut next = |length: usize| {
        at += length;
        (at - length, at)
    };
    lengths.iter().map(|&length| next(length)).collect()
}

/// The lengths of a chunk's tokens where a rule knows it as a whole.
fn special(chunk: &str) -> Option<Vec<usize>> {
    // The longest is "couldn’t" and the like.
    if chunk.len() > 12 {
        return None;
    }
    let plain = chunk.replace('’', "'");
    let letter = matches!(chunk.as_bytes(), [b'a'..=b'z', b'.']);
    if letter || ABBREVIATIONS.contains(&plain.as_str()) {
        return Some(vec![chunk.len()]);
    }
    let digits = chunk.bytes().take_while(u8::is_ascii_digit).count();
    if matches!(&chunk[digits..], "am" | "pm" | "a.m." | "p.m.") && chunk[..digits].parse().is_ok_and(|hour: u8| (1..=12).contains(&hour)) {
        return Some(vec![digits, chunk.len() - digits]);
    }
    if matches!(plain.as_str(), "cannot" | "Cannot") {
        return Some(vec![3, 3]);
    }
    let mut first = plain.chars();
    let lower: String = first.next()?.to_lowercase().chain(first).collect();
    let split = |base: &str| Some(vec![base.len(), chunk.len() - base.len()]);
    if let Some(base) = lower.strip_suffix("n't")
        && VERBS.contains(&base)
    {
        return split(base);
    }
    if let Some(base @ ("could" | "might" | "must" | "should" | "would" | "not")) = lower.strip_suffix("'ve") {
        return split(base);
    }
    CONTRACTIONS.iter().find_map(|ending| lower.strip_suffix(ending).filter(|base| PRONOUNS.contains(base))).and_then(split)
}

fn matches(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text).unwrap_or(false)
}

/// Length of what is found, bytes; 0 for nothing.
fn length(pattern: &Regex, text: &str) -> usize {
    pattern.find(text).ok().flatten().map_or(0, |found| found.end() - found.start())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let characters: Vec<char> = text.chars().collect();
        tokens(text).iter().map(|token| characters[token.start..token.end].iter().collect()).collect()
    }

    /// Observed on spaCy 3.8.18, `spacy.blank("en")`.
    #[test]
    fn are_those_of_the_replaced_steps_library() {
        for (text, expected) in [
            ("St. Mary's Hospital at Hy-Vee's", "St.|Mary|'s|Hospital|at|Hy|-|Vee|'s"),
            ("U.S. Smith–Cotton don’t", "U.S.|Smith|–|Cotton|do|n’t"),
            ("(Ha) 7-Eleven #1234", "(|Ha|)|7|-|Eleven|#|1234"),
            ("The Co. of J. Smith Jr.'s", "The|Co.|of|J.|Smith|Jr.|'s"),
            ("on Main St. in Mo.", "on|Main|St.|in|Mo."),
            ("at Lee Blvd. now.", "at|Lee|Blvd|.|now|."),
            ("A--B a—b yes,no 12:30 a:b I-70/US-63", "A|--|B|a|—|b|yes|,|no|12:30|a|:|b|I-70|/|US-63"),
            ("www.komu.com/a?b=c Amazon.com \"Quote.\"", "www.komu.com/a?b=c|Amazon.com|\"|Quote|.|\""),
            ("8am 5km $5 10,000 3-4", "8|am|5|km|$|5|10,000|3|-|4"),
            ("cannot they've it's I'll", "can|not|they|'ve|it|'s|I|'ll"),
        ] {
            assert_eq!(cut(text).join("|"), expected, "{text}");
        }
    }

    /// Only a single space is no token.
    #[test]
    fn other_white_space_is_a_token() {
        assert_eq!(cut("a  b\n\nc \n d\u{a0}e"), ["a", " ", "b", "\n\n", "c", "\n ", "d", "\u{a0}", "e"]);
        assert_eq!(cut(" a "), ["a"]);
        assert!(cut("").is_empty());
    }

    proptest! {
        #[test]
        fn tokens_are_the_text_in_order(text in "([A-Za-z.'’(),$–-]{0,8}|[ \\n\u{a0}]{0,3}|北é|n't|[0-9]{1,3}(km|am|%)?){0,20}") {
            let characters: Vec<char> = text.chars().collect();
            let mut last = 0;
            for token in tokens(&text) {
                prop_assert!(token.start >= last && token.end > token.start && token.end <= characters.len());
                prop_assert!(characters[last..token.start].iter().all(|&c| c == ' '), "nothing but single spaces is left out");
                prop_assert!(token.start - last <= 1);
                let cut: String = characters[token.start..token.end].iter().collect();
                prop_assert_eq!(&token.lower, &cut.to_lowercase());
                last = token.end;
            }
        }
    }
}
