//! Cuts the items out of the JSON of a list while it comes in, so that no more than one of them is held at a time. Pure.

/// Why the text is no list of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ItemsError {
    /// It ended before the list did.
    #[error("the list ended too early")]
    CutOff,
    /// An item is no UTF-8.
    #[error("an item of the list is no UTF-8")]
    NotText,
}

/// What of a list has come in.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// Objects and arrays that are open.
    depth: u32,
    text: Text,
    /// The string read last in the outermost object: the key, when a value follows.
    key: Vec<u8>,
    /// Whether `items` is open.
    within: bool,
    /// What has come of the item that is open.
    item: Vec<u8>,
    ended: bool,
}

/// Where in a string it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

/// Depth inside the list's own object.
const LIST: u32 = 1;
/// Depth inside its `items`.
const ITEMS: u32 = 2;

impl Items {
    /// Takes the next bytes and gives each item that ends in them.
    ///
    /// # Errors
    /// [`ItemsError::NotText`].
    pub(super) fn take(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) -> Result<(), ItemsError> {
        // Where the open item goes on in these bytes.
        let mut from = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if self.text != Text::Outside {
                self.in_a_string(byte);
                continue;
            }
            match byte {
                b'"' => {
                    self.text = Text::Inside;
                    if self.depth == LIST {
                        self.key.clear();
                    }
                }
                b'{' | b'[' => {
                    if self.depth == LIST {
                        self.within = byte == b'[' && self.key == b"items";
                    } else if self.depth == ITEMS && self.within {
                        from = at;
                    }
                    self.depth += 1;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == ITEMS && self.within {
                        self.item.extend_from_slice(&bytes[from..=at]);
                        each(std::str::from_utf8(&self.item).map_err(|_| ItemsError::NotText)?);
                        self.item.clear();
                    }
                    self.ended |= self.depth == 0;
                }
                _ => {}
            }
        }
        if self.within && self.depth > ITEMS {
            self.item.extend_from_slice(&bytes[from..]);
        }
        Ok(())
    }

    fn in_a_string(&mut self, byte: u8) {
        self.text = match (self.text, byte) {
            (Text::Escaped, _) => Text::Inside,
            (_, b'\\') => Text::Escaped,
            (_, b'"') => Text::Outside,
            _ => Text::Inside,
        };
        if self.depth == LIST && self.text == Text::Inside {
            self.key.push(byte);
        }
    }

    /// Whether all of the list came.
    ///
    /// # Errors
    /// [`ItemsError::CutOff`] when not.
    pub(super) fn end(&self) -> Result<(), ItemsError> {
        if self.ended { Ok(()) } else { Err(ItemsError::CutOff) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str, sizes: &[usize]) -> Result<Vec<String>, ItemsError> {
        let (mut items, mut found) = (Items::default(), Vec::new());
        let (mut rest, mut sizes) = (text.as_bytes(), sizes.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            items.take(now, |item| found.push(item.to_owned()))?;
            rest = later;
        }
        items.end().map(|()| found)
    }

    #[test]
    fn items_are_cut_out_as_they_stand() {
        let items = [r#"{"a":"]}\"{","items":[{"b":[1]}]}"#, "{}", r#"{ "é" : "\\" }"#];
        let list = format!(
            r#"{{"apiVersion":"v1","metadata":{{"items":[{{}}]}},"items":[ {},{} ,{}],"kind":"items"}}"#,
            items[0], items[1], items[2]
        );
        for size in [1, 2, 3, 7, list.len()] {
            assert_eq!(cut(&list, &[size]).unwrap(), items, "in pieces of {size}");
        }
        assert_eq!(cut(r#"{"items":[],"kind":"L"}"#, &[5]).unwrap(), [""; 0]);
        assert_eq!(cut(r#"{"items":null,"metadata":{"x":[{}]}}"#, &[5]).unwrap(), [""; 0]);
    }

    #[test]
    fn list_that_is_cut_off_is_none() {
        let list = r#"{"items":[{"a":1},{"b":2}],"kind":"L"}"#;
        for end in 0..list.len() {
            assert_eq!(cut(&list[..end], &[9]), Err(ItemsError::CutOff), "{}", &list[..end]);
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![any::<i32>().prop_map(Into::into), "\\PC{0,8}".prop_map(Into::into), Just(().into())];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let map = proptest::collection::btree_map("[a-z\"\\\\{}\\[\\]]{1,4}", inner.clone(), 0..4);
            let map = map.prop_map(|map| serde_json::Value::Object(map.into_iter().collect()));
            prop_oneof![proptest::collection::vec(inner, 0..4).prop_map(serde_json::Value::Array), map]
        })
    }

    proptest! {
        #[test]
        fn any_list_in_any_pieces_gives_its_items(
            objects in proptest::collection::vec(proptest::collection::btree_map("[a-z]{1,3}", json(), 0..4), 0..5),
            before in json(),
            after in json(),
            sizes in proptest::collection::vec(1..9_usize, 1..9),
        ) {
            let objects: Vec<String> = objects.iter().map(|object| serde_json::to_string(object).unwrap()).collect();
            let list = format!(r#"{{"a":{before},"items":[{}],"z":{after}}}"#, objects.join(","));
            prop_assert_eq!(cut(&list, &sizes).unwrap(), objects);
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut items = Items::default();
            let _ = items.take(&bytes, |_| {});
        }
    }
}
