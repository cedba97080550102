//! Amounts of bytes as Kubernetes spells them (`apimachinery/pkg/api/resource/quantity.go`), and as people read them.

/// Suffixes and what they multiply by.
const SUFFIXES: &[(&str, f64)] = &[
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("m", 0.001),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// Bytes of a quantity such as `2Gi` or `1e9`, rounded up as Kubernetes does; `None` when it is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "checked: finite, not negative, and below the largest u64"
)]
pub fn bytes(text: &str) -> Option<u64> {
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole);
    }
    let (number, factor) =
        SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor))).unwrap_or((text, 1.0));
    let amount = (number.parse::<f64>().ok()? * factor).ceil();
    (amount.is_finite() && amount >= 0.0 && amount < u64::MAX as f64).then_some(amount as u64)
}

/// Bytes for a reader, in IEC units with at most one digit behind the point: `2Gi`, `1.1 MiB` is `1.1Mi`.
#[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
pub fn human(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["", "Ki", "Mi", "Gi", "Ti", "Pi"] {
        if amount < 1024.0 {
            let text = format!("{amount:.1}");
            return format!("{}{unit}", text.trim_end_matches(".0"));
        }
        amount /= 1024.0;
    }
    format!("{amount:.1}Ei")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, want) in
            [("2Gi", 2_147_483_648), ("1e3", 1000), ("1500m", 2), ("5G", 5_000_000_000), ("7", 7), ("1.5Ki", 1536)]
        {
            assert_eq!(bytes(text), Some(want), "{text}");
        }
        for text in ["", "Gi", "-1", "nonsense", "1e400"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_are_short() {
        assert_eq!(human(2_147_483_648), "2Gi");
        assert_eq!(human(1_153_434), "1.1Mi");
        assert_eq!(human(0), "0");
    }
}
