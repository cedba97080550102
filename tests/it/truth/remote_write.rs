//! Prometheus' remote-write protocol, version 1, as far as the corpus needs it: floats, native histograms, exemplars
//! (`prompb/types.proto`), in a snappy block that compresses nothing.

/// A protocol-buffer message being written.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// An unsigned number.
    pub(super) fn number(&mut self, field: u64, value: u64) -> &mut Self {
        uvarint(&mut self.0, field << 3);
        uvarint(&mut self.0, value);
        self
    }

    /// A signed number in zig-zag form.
    pub(super) fn zigzag(&mut self, field: u64, value: i64) -> &mut Self {
        self.number(field, zigzag(value))
    }

    /// A float.
    pub(super) fn float(&mut self, field: u64, value: f64) -> &mut Self {
        uvarint(&mut self.0, field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Text, bytes, or a message within this one.
    pub(super) fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        uvarint(&mut self.0, field << 3 | 2);
        uvarint(&mut self.0, value.len() as u64);
        self.0.extend(value);
        self
    }

    /// A message within this one.
    pub(super) fn message(&mut self, field: u64, fill: impl FnOnce(&mut Message)) -> &mut Self {
        let mut inner = Message::default();
        fill(&mut inner);
        self.bytes(field, &inner.0)
    }

    /// A series with these labels, sorted by name.
    pub(super) fn series(&mut self, labels: &[(&str, &str)], fill: impl FnOnce(&mut Message)) -> &mut Self {
        self.message(1, |series| {
            for (name, value) in labels {
                series.message(1, |label| {
                    label.bytes(1, name.as_bytes()).bytes(2, value.as_bytes());
                });
            }
            fill(series);
        })
    }

    /// A sample of a series.
    pub(super) fn sample(&mut self, at_ms: i64, value: f64) -> &mut Self {
        self.message(2, |sample| {
            sample.float(1, value).number(2, at_ms.cast_unsigned());
        })
    }

    /// An exemplar of a series.
    pub(super) fn exemplar(&mut self, at_ms: i64, value: f64) -> &mut Self {
        self.message(3, |exemplar| {
            exemplar.message(1, |label| {
                label.bytes(1, b"trace_id").bytes(2, format!("{at_ms:x}").as_bytes());
            });
            exemplar.float(2, value).number(3, at_ms.cast_unsigned());
        })
    }

    /// A native histogram of integers with four buckets that hold `count` observations each.
    pub(super) fn histogram(&mut self, at_ms: i64, count: u64) -> &mut Self {
        self.message(4, |histogram| {
            histogram.number(1, count * 4).float(3, 1.0).zigzag(4, 1).float(5, 1e-9).number(6, 0);
            histogram.message(11, |span| {
                span.zigzag(1, 0).number(2, 4);
            });
            let mut deltas = Vec::new();
            for delta in [zigzag(count.cast_signed()), 0, 0, 0] {
                uvarint(&mut deltas, delta);
            }
            histogram.bytes(12, &deltas).number(15, at_ms.cast_unsigned());
        })
    }

    /// A native histogram of floats with the same buckets.
    pub(super) fn float_histogram(&mut self, at_ms: i64, count: f64) -> &mut Self {
        self.message(4, |histogram| {
            histogram.float(2, count * 4.0).float(3, 1.0).zigzag(4, 1).float(5, 1e-9).float(7, 0.0);
            histogram.message(11, |span| {
                span.zigzag(1, 0).number(2, 4);
            });
            let counts: Vec<u8> = [count; 4].iter().flat_map(|count| count.to_le_bytes()).collect();
            histogram.bytes(13, &counts).number(15, at_ms.cast_unsigned());
        })
    }

    /// The bytes as a snappy block of literals.
    pub(super) fn in_snappy(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(self.0.len() + 64);
        uvarint(&mut block, self.0.len() as u64);
        for literal in self.0.chunks(1 << 16) {
            block.push(61 << 2);
            block.extend(u16::try_from(literal.len() - 1).unwrap().to_le_bytes());
            block.extend(literal);
        }
        block
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn uvarint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

#[test]
fn message_is_spelled_as_the_protocol_wants() {
    let mut message = Message::default();
    message.number(1, 300).zigzag(4, -2).bytes(2, b"ab");
    assert_eq!(message.0, [0x08, 0xac, 0x02, 0x20, 0x03, 0x12, 2, b'a', b'b']);
    assert_eq!(message.in_snappy()[..4], [9, 61 << 2, 8, 0]);
}
