//! The vocabulary of formulas: which words, commands and signs stand for what. Tables only.

use crate::expr::{NumberSet, Relation};
use crate::token::{Bracket, Glue, Side, Token};

/// A word that is not a product of letters.
pub(crate) enum Word {
    /// `and`, `or`
    Separator,
    Percent,
    Infinity,
    Name(&'static str),
    Command(&'static str),
}

/// What a bare word means, if it means anything.
pub(crate) fn word(word: &str) -> Option<Word> {
    Some(match word {
        "and" | "or" | "And" | "Or" => Word::Separator,
        "percent" | "Percent" | "percentage" | "Percentage" | "pct" | "Pct" => Word::Percent,
        "infinity" | "infty" | "inf" | "Infinity" => Word::Infinity,
        "pi" => Word::Name("pi"),
        "theta" => Word::Name("theta"),
        "tg" => Word::Command("tan"),
        "ctg" => Word::Command("cot"),
        "arctg" => Word::Command("arctan"),
        _ => Word::Command(FUNCTIONS.iter().find(|&&name| name == word)?),
    })
}

const FUNCTIONS: &[&str] = &[
    "sqrt", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "arcsin", "arccos", "arctan",
    "sinh", "cosh", "tanh", "gcd", "lcm", "max", "min", "floor", "ceil", "lg",
];

/// Commands with a grammar of their own.
const COMMANDS: &[&str] = &[
    "frac", "sqrt", "binom", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "lg", "exp", "arcsin",
    "arccos", "arctan", "sinh", "cosh", "tanh", "gcd", "lcm", "max", "min", "sum", "prod", "int", "lim",
    "det", "boxed", "over", "pmod", "bar", "vec", "overline", "hat", "tilde", "floor", "ceil",
];

const NAMES: &[&str] = &[
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "omicron",
    "pi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Pi",
    "Sigma",
    "Upsilon",
    "Phi",
    "Psi",
    "Omega",
    "ell",
    "hbar",
    "partial",
    "nabla",
    "angle",
    "triangle",
    "square",
    "aleph",
    "perp",
    "parallel",
    "star",
    "imath",
    "jmath",
    "cong",
    "sim",
    "top",
    "Box",
    "diamond",
    "clubsuit",
    "heartsuit",
    "spadesuit",
    "measuredangle",
    "wp",
    "Re",
    "Im",
    "bigstar",
    "odot",
    "parallelogram",
];

/// Whether a run of letters is a word of a sentence rather than a product: a longer one behind a space, or one of
/// several.
pub(crate) fn is_prose(text: &str, at: usize, length: usize) -> bool {
    let before = text[..at].trim_end_matches(' ');
    let spaced = before.len() < at
        && before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | '}' | '$' | '%' | '\u{b0}'));
    let vowels = text[at..at + length].contains(['a', 'e', 'i', 'o', 'u', 'y']);
    if length > 3 && vowels && (spaced || length > 5) {
        return true;
    }
    let unknown =
        |word: &&str| word.len() > 2 && !word.contains('\\') && self::word(word).is_none() && !is_name(word);
    text.split(|c: char| !c.is_ascii_alphabetic() && c != '\\').filter(unknown).take(3).count() > 2
}

/// Whether a word is the name of a symbol, written without a backslash.
pub(crate) fn is_name(word: &str) -> bool {
    NAMES.contains(&word)
}

/// A command's token; the delimiter side is the one that `\left` or `\right` gave it.
pub(crate) fn command(name: &str, side: Side) -> Option<Token<'static>> {
    let name = match name {
        "dfrac" | "tfrac" | "cfrac" | "nicefrac" | "sfrac" | "xfrac" | "flatfrac" => "frac",
        "dbinom" | "tbinom" => "binom",
        "varepsilon" => "epsilon",
        "vartheta" => "theta",
        "varphi" => "phi",
        "varrho" => "rho",
        "varsigma" => "sigma",
        "overrightarrow" => "vec",
        "widetilde" => "tilde",
        "widehat" => "hat",
        "fbox" => "boxed",
        "bmod" | "mod" => "pmod",
        "arcsinh" | "arccosh" | "arctanh" => return None,
        other => other,
    };
    Some(match name {
        "cdot" | "times" | "ast" => Token::Times,
        "div" => Token::Over,
        // A word in running text, so no command without its backslash.
        "choose" => Token::Command("choose"),
        "pm" => Token::PlusMinus,
        "mp" => Token::MinusPlus,
        "le" | "leq" | "leqslant" | "leqq" => Token::Relation(Relation::LessEqual),
        "ge" | "geq" | "geqslant" | "geqq" => Token::Relation(Relation::GreaterEqual),
        "lt" => Token::Relation(Relation::Less),
        "gt" => Token::Relation(Relation::Greater),
        "ne" | "neq" => Token::Relation(Relation::NotEqual),
        "approx" | "simeq" | "doteq" => Token::Relation(Relation::Approximate),
        "equiv" => Token::Relation(Relation::Equal),
        "in" => Token::Relation(Relation::In),
        "notin" => Token::Relation(Relation::NotIn),
        "cup" | "bigcup" => Token::Union,
        "cap" | "bigcap" => Token::Intersection,
        "setminus" | "backslash" => Token::SetMinus,
        "lor" | "vee" | "land" | "wedge" => Token::Comma(Glue::Loose),
        "emptyset" | "varnothing" => Token::Numbers(NumberSet::Empty),
        "infty" => Token::Infinity,
        "circ" | "degree" => Token::Degree,
        "prime" => Token::Prime,
        "mid" => Token::Mid,
        "colon" => Token::Colon,
        "lbrace" => Token::Open(Bracket::Brace),
        "rbrace" => Token::Close(Bracket::Brace),
        "lbrack" => Token::Open(Bracket::Square),
        "rbrack" => Token::Close(Bracket::Square),
        "lparen" | "lgroup" => Token::Open(Bracket::Round),
        "rparen" | "rgroup" => Token::Close(Bracket::Round),
        "langle" => Token::Open(Bracket::Angle),
        "rangle" => Token::Close(Bracket::Angle),
        "lfloor" => Token::Open(Bracket::Floor),
        "rfloor" => Token::Close(Bracket::Floor),
        "lceil" => Token::Open(Bracket::Ceil),
        "rceil" => Token::Close(Bracket::Ceil),
        "lvert" | "lVert" => Token::Bar(Side::Left),
        "rvert" | "rVert" => Token::Bar(Side::Right),
        "vert" | "Vert" => Token::Bar(side),
        _ => {
            if let Some(&command) = COMMANDS.iter().find(|&&known| known == name) {
                Token::Command(command)
            } else {
                Token::Name(NAMES.iter().find(|&&known| known == name)?)
            }
        }
    })
}

/// What a single character means; `side` as for [`command`].
pub(crate) fn sign(c: char, side: Side) -> Option<Token<'static>> {
    Some(match c {
        '+' => Token::Plus,
        '-' | '\u{2212}' | '\u{2013}' => Token::Minus,
        '*' | '\u{d7}' | '\u{22c5}' | '\u{b7}' | '\u{2217}' => Token::Times,
        '/' | '\u{f7}' | '\u{2215}' => Token::Over,
        ':' => Token::Colon,
        '^' => Token::Caret,
        '_' => Token::Underscore,
        '!' => Token::Bang,
        '\'' | '\u{2032}' => Token::Prime,
        '%' => Token::Percent,
        '\u{b0}' => Token::Degree,
        '\u{b1}' => Token::PlusMinus,
        ',' | '\u{2228}' | '\u{2227}' => Token::Comma(Glue::Loose),
        ';' => Token::Semicolon,
        '(' => Token::Open(Bracket::Round),
        ')' => Token::Close(Bracket::Round),
        '[' => Token::Open(Bracket::Square),
        ']' => Token::Close(Bracket::Square),
        // `\left{` is a brace that should have been escaped.
        '{' => Token::Open(if side == Side::Either { Bracket::Group } else { Bracket::Brace }),
        '}' => Token::Close(if side == Side::Either { Bracket::Group } else { Bracket::Brace }),
        '|' => Token::Bar(side),
        '&' => Token::Ampersand,
        '<' => Token::Relation(Relation::Less),
        '>' => Token::Relation(Relation::Greater),
        '=' => Token::Relation(Relation::Equal),
        '\u{2264}' | '\u{2a7d}' => Token::Relation(Relation::LessEqual),
        '\u{2265}' | '\u{2a7e}' => Token::Relation(Relation::GreaterEqual),
        '\u{2260}' => Token::Relation(Relation::NotEqual),
        '\u{2248}' => Token::Relation(Relation::Approximate),
        '\u{2208}' => Token::Relation(Relation::In),
        '\u{2209}' => Token::Relation(Relation::NotIn),
        '\u{222a}' => Token::Union,
        '\u{2229}' => Token::Intersection,
        '\u{2216}' => Token::SetMinus,
        '\u{2223}' => Token::Mid,
        '\u{2220}' => Token::Name("angle"),
        '\u{25b3}' => Token::Name("triangle"),
        '\u{22a5}' => Token::Name("perp"),
        '\u{2205}' => Token::Numbers(NumberSet::Empty),
        '\u{211d}' => Token::Numbers(NumberSet::Reals),
        '\u{2115}' => Token::Numbers(NumberSet::Naturals),
        '\u{2124}' => Token::Numbers(NumberSet::Integers),
        '\u{211a}' => Token::Numbers(NumberSet::Rationals),
        '\u{2102}' => Token::Numbers(NumberSet::Complexes),
        '\u{221e}' => Token::Infinity,
        '\u{221a}' => Token::Command("sqrt"),
        '\u{3b1}'..='\u{3c9}' => Token::Name(greek(c)?),
        '\u{394}' => Token::Name("Delta"),
        '\u{3a9}' => Token::Name("Omega"),
        '\u{3d5}' => Token::Name("phi"),
        _ => return None,
    })
}

fn greek(c: char) -> Option<&'static str> {
    const LOWER: &[&str] = &[
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda",
        "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "sigma", "tau", "upsilon", "phi", "chi", "psi",
        "omega",
    ];
    LOWER.get((c as usize).checked_sub(0x3b1)?).copied()
}

/// A superscript digit as an exponent.
pub(crate) fn superscript(c: char) -> Option<&'static str> {
    let at = "\u{2070}\u{b9}\u{b2}\u{b3}\u{2074}\u{2075}\u{2076}\u{2077}\u{2078}\u{2079}"
        .chars()
        .position(|s| s == c)?;
    Some(&"0123456789"[at..=at])
}

/// `\u{bd}` is one half.
pub(crate) fn vulgar_fraction(c: char) -> Option<(&'static str, &'static str)> {
    Some(match c {
        '\u{bc}' => ("1", "4"),
        '\u{bd}' => ("1", "2"),
        '\u{be}' => ("3", "4"),
        '\u{2153}' => ("1", "3"),
        '\u{2154}' => ("2", "3"),
        '\u{2155}' => ("1", "5"),
        '\u{2156}' => ("2", "5"),
        '\u{2157}' => ("3", "5"),
        '\u{2158}' => ("4", "5"),
        '\u{2159}' => ("1", "6"),
        '\u{215a}' => ("5", "6"),
        '\u{215b}' => ("1", "8"),
        '\u{215c}' => ("3", "8"),
        '\u{215d}' => ("5", "8"),
        '\u{215e}' => ("7", "8"),
        _ => return None,
    })
}

/// Characters that show nothing or only a currency.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '$' | '~' | '"' | '\u{200b}' | '\u{feff}' | '\u{ad}') || is_currency(c)
}

/// Codes of money that stand before the amount.
pub(crate) fn is_currency_code(word: &str) -> bool {
    matches!(word, "USD" | "EUR" | "GBP" | "RMB" | "CNY" | "INR" | "JPY" | "KRW" | "Rs" | "US" | "HK")
}

/// Short words of English that are no product of letters in running text.
pub(crate) fn is_particle(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "in", "of", "by", "to", "is", "it", "so", "as", "at", "on", "we", "he", "be", "do", "if", "no", "an",
        "my", "us", "me", "up", "The", "It", "So", "We", "In", "If", "As", "At", "the", "for", "are", "was",
        "has", "not", "but", "you", "out", "all", "one", "two", "its", "can", "per", "any", "a", "I",
    ];
    WORDS.contains(&word)
}

/// Signs of money.
pub(crate) fn is_currency(c: char) -> bool {
    matches!(c, '$' | '\u{a3}' | '\u{a5}' | '\u{e3f}' | '\u{20a0}'..='\u{20bf}')
}

/// `\mathbb{R}` and the other number sets.
pub(crate) fn number_set(letter: &str) -> Option<NumberSet> {
    Some(match letter {
        "N" => NumberSet::Naturals,
        "Z" => NumberSet::Integers,
        "Q" => NumberSet::Rationals,
        "R" => NumberSet::Reals,
        "C" => NumberSet::Complexes,
        _ => return None,
    })
}
