//! What a container runs, as far as its pod template tells: the name of its image and the flags of its command line.
//!
//! Knows how flags are written, not what they mean.

/// An image without its tag and digest.
pub fn image_path(image: &str) -> &str {
    let without_digest = image.split('@').next().unwrap_or(image);
    match without_digest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => path,
        _ => without_digest,
    }
}

/// The last part of an image's path, such as `prometheus`.
pub fn image_name(image: &str) -> &str {
    let path = image_path(image);
    path.rsplit('/').next().unwrap_or(path)
}

/// The tag of an image.
pub fn image_tag(image: &str) -> Option<String> {
    let without_digest = image.split('@').next().unwrap_or(image);
    let (_, tag) = without_digest.rsplit_once(':')?;
    (!tag.contains('/')).then(|| tag.to_owned())
}

/// The words of a command line, to be asked for flags. One dash and two mean the same, as in Go's `flag` package, and a
/// value may stand behind `=` or be the next word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments<'a>(Vec<&'a str>);

impl<'a> Arguments<'a> {
    /// From a container's `command` followed by its `args`. A script for a shell (`sh -c "…"`) is taken apart at white
    /// space.
    pub fn new(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut taken: Vec<&str> = Vec::new();
        for word in words {
            if taken.last().is_some_and(|before| introduces_script(before)) {
                taken.extend(word.split_whitespace().map(without_quotes));
            } else {
                taken.push(word);
            }
        }
        Self(taken)
    }

    /// Whether there is no word at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the flag is given, whatever its value.
    pub fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|word| named(word, flag).is_some())
    }

    /// Values of every occurrence of a flag that takes one.
    pub fn values(&self, flag: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().enumerate().filter_map(move |(at, word)| match named(word, flag)? {
            Some(value) => Some(without_quotes(value)),
            None => self.0.get(at + 1).copied(),
        })
    }

    /// Value of a flag, of its last occurrence.
    pub fn value(&self, flag: &str) -> Option<&'a str> {
        self.values(flag).last()
    }

    /// Whether a switch is on: `--flag`, or `--flag=` with what Go's `strconv.ParseBool` takes as true.
    pub fn is_on(&self, flag: &str) -> bool {
        let last = self.0.iter().filter_map(|word| named(word, flag)).next_back();
        last.is_some_and(|value| value.is_none_or(|text| ["1", "t", "T", "true", "TRUE", "True"].contains(&text)))
    }
}

/// `-c`, also with other letters before the `c`: the next word is a script.
fn introduces_script(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|letters| letters.ends_with('c') && letters.chars().all(char::is_alphanumeric))
}

fn without_quotes(word: &str) -> &str {
    word.trim_end_matches(';').trim_matches(['"', '\''])
}

/// If the word is this flag: the value behind `=`, when there is a `=`.
#[expect(clippy::option_option, reason = "not the flag, the flag alone, the flag with a value")]
fn named<'a>(word: &'a str, flag: &str) -> Option<Option<&'a str>> {
    let word = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    let rest = word.strip_prefix(flag)?;
    if rest.is_empty() { Some(None) } else { rest.strip_prefix('=').map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_of_a_registry_is_no_tag() {
        let operator = "registry:5000/prometheus-operator/prometheus-operator";
        assert_eq!(image_path(operator), operator);
        assert_eq!(image_name(operator), "prometheus-operator");
        assert_eq!(image_tag("registry:5000/x/prometheus-operator"), None);
        assert_eq!(image_tag("r/x/prometheus-operator:v0.93.0@sha256:00").as_deref(), Some("v0.93.0"));
        assert_eq!(image_name("prometheus:v3@sha256:00"), "prometheus");
    }

    #[test]
    fn values_stand_behind_a_sign_or_in_the_next_word() {
        for words in [&["/bin/x", "--a=b", "--ab=c"][..], &["-a=b"], &["--a", "b"], &["-a", "b", "--ab", "c"]] {
            assert_eq!(Arguments::new(words.iter().copied()).value("a"), Some("b"), "{words:?}");
        }
        let repeated = Arguments::new(["--a=b", "--a", "c", "--a="]);
        assert_eq!(repeated.values("a").collect::<Vec<_>>(), ["b", "c", ""]);
        assert_eq!(Arguments::new(["--a"]).value("a"), None);
        assert_eq!(Arguments::new(["a=b", "a"]).value("a"), None);
    }

    #[test]
    fn switch_is_on_alone_or_with_a_true_value() {
        assert!(Arguments::new(["--agent"]).is_on("agent"));
        assert!(Arguments::new(["--agent=false", "-agent=T"]).is_on("agent"));
        assert!(!Arguments::new(["--agent", "--agent=false"]).is_on("agent"));
        assert!(!Arguments::new(["--agents", "agent"]).is_on("agent"));
    }

    #[test]
    fn script_of_a_shell_is_taken_apart_and_a_value_with_spaces_is_not() {
        for shell in [["sh", "-c"], ["/bin/bash", "-ec"]] {
            let script = "exec /bin/prometheus \\\n  --config.file=\"/a b\" --storage.tsdb.path='/data';";
            let arguments = Arguments::new(shell.into_iter().chain([script]));
            assert_eq!(arguments.value("storage.tsdb.path"), Some("/data"));
        }
        let selector = Arguments::new(["--selector", "a in (b, c)", "--other=a in (b, c)"]);
        assert_eq!(selector.value("selector"), Some("a in (b, c)"));
        assert_eq!(selector.value("other"), Some("a in (b, c)"));
    }
}
