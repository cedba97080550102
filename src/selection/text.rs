//! The text form of a label selector, as flags have it (apimachinery `pkg/labels/selector.go`).

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::selector::{Requirement, Test, is_label_key, is_label_value};

/// Why a text is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorParseError {
    /// The grammar wants something else there.
    #[error("read the label selector `{selector}`: found {found}, expected {expected}")]
    ReadGrammar {
        /// The whole text.
        selector: String,
        /// What stands there.
        found: String,
        /// What could.
        expected: &'static str,
    },
    /// No label has such a key.
    #[error("read the label selector `{selector}`: `{key}` is no key of a label")]
    ReadKey {
        /// The whole text.
        selector: String,
        /// The key.
        key: String,
    },
    /// No label has such a value.
    #[error("read the label selector `{selector}`: `{value}` is no value of a label")]
    ReadValue {
        /// The whole text.
        selector: String,
        /// The value.
        value: String,
    },
    /// `<` and `>` compare with integers.
    #[error("read the label selector `{selector}`: `{value}` is no integer")]
    ReadInteger {
        /// The whole text.
        selector: String,
        /// The value.
        value: String,
    },
}

const SYMBOLS: &str = "=!(),<>";

/// Requirements that a text lists.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, SelectorParseError> {
    let mut parser = Parser { text, tokens: tokens(text).into_iter().peekable() };
    let mut requirements = Vec::new();
    if parser.tokens.peek().is_none() {
        return Ok(requirements);
    }
    loop {
        requirements.push(parser.requirement()?);
        match parser.tokens.next() {
            None => return Ok(requirements),
            Some(",") => {}
            found => return Err(parser.unexpected(found, "`,` or the end")),
        }
    }
}

/// Symbols and the words between them; white space only separates.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_white);
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("==") || rest.starts_with("!=") {
            2
        } else if SYMBOLS.contains(first) {
            1
        } else {
            rest.find(|c| is_white(c) || SYMBOLS.contains(c)).unwrap_or(rest.len())
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start_matches(is_white);
    }
    tokens
}

fn is_white(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(token: &str) -> bool {
    !token.starts_with(|c| SYMBOLS.contains(c))
}

struct Parser<'a> {
    text: &'a str,
    tokens: Peekable<IntoIter<&'a str>>,
}

impl<'a> Parser<'a> {
    fn requirement(&mut self) -> Result<Requirement, SelectorParseError> {
        let absent = self.tokens.next_if_eq(&"!").is_some();
        let key = self.key()?;
        if self.at_end_of_requirement() {
            return Ok(Requirement { key, test: if absent { Test::DoesNotExist } else { Test::Exists } });
        }
        let test = match self.tokens.next() {
            found if absent => return Err(self.unexpected(found, "`,` or the end")),
            Some("in") => Test::In(self.values()?),
            Some("notin") => Test::NotIn(self.values()?),
            Some("=" | "==") => Test::In(BTreeSet::from([self.exact_value()?])),
            Some("!=") => Test::NotIn(BTreeSet::from([self.exact_value()?])),
            Some(">") => Test::GreaterThan(self.integer()?),
            Some("<") => Test::LessThan(self.integer()?),
            found => return Err(self.unexpected(found, "in, notin, =, ==, !=, < or >")),
        };
        Ok(Requirement { key, test })
    }

    fn key(&mut self) -> Result<String, SelectorParseError> {
        match self.tokens.next() {
            Some(key) if is_label_key(key) => Ok(key.to_owned()),
            Some(key) if is_word(key) => {
                Err(SelectorParseError::ReadKey { selector: self.text.to_owned(), key: key.to_owned() })
            }
            found => Err(self.unexpected(found, "the key of a label")),
        }
    }

    /// `(a,b)`; what is left out between the signs is the empty value.
    fn values(&mut self) -> Result<BTreeSet<String>, SelectorParseError> {
        match self.tokens.next() {
            Some("(") => {}
            found => return Err(self.unexpected(found, "`(`")),
        }
        let mut values = BTreeSet::new();
        loop {
            let value = self.tokens.next_if(|token| is_word(token)).unwrap_or_default();
            values.insert(self.value(value)?);
            match self.tokens.next() {
                Some(",") => {}
                Some(")") => return Ok(values),
                found => return Err(self.unexpected(found, "`,`, `)` or a value")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<String, SelectorParseError> {
        if self.at_end_of_requirement() {
            return Ok(String::new());
        }
        match self.tokens.next() {
            Some(value) if is_word(value) => self.value(value),
            found => Err(self.unexpected(found, "a value")),
        }
    }

    fn value(&self, value: &str) -> Result<String, SelectorParseError> {
        if is_label_value(value) {
            return Ok(value.to_owned());
        }
        Err(SelectorParseError::ReadValue { selector: self.text.to_owned(), value: value.to_owned() })
    }

    fn integer(&mut self) -> Result<i64, SelectorParseError> {
        let value = self.exact_value()?;
        value.parse().map_err(|_| SelectorParseError::ReadInteger { selector: self.text.to_owned(), value })
    }

    fn at_end_of_requirement(&mut self) -> bool {
        self.tokens.peek().is_none_or(|token| *token == ",")
    }

    fn unexpected(&self, found: Option<&'a str>, expected: &'static str) -> SelectorParseError {
        let found = found.map_or_else(|| "the end".to_owned(), |token| format!("`{token}`"));
        SelectorParseError::ReadGrammar { selector: self.text.to_owned(), found, expected }
    }
}
