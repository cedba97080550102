//! The result of `promsafe doctor`: a line a check, in groups, and what to do below each that is not well.

use serde_json::{Value, json};

use crate::doctor::{Diagnosis, Verdict};

/// In the order in which they are counted.
const VERDICTS: [Verdict; 4] = [Verdict::Ok, Verdict::Warning, Verdict::Failed, Verdict::Skipped];

pub(super) fn text(diagnosis: &Diagnosis) -> String {
    let mut lines = Vec::new();
    let mut group = None;
    for check in &diagnosis.checks {
        if group.replace(check.group) != Some(check.group) {
            lines.push(check.group.name().to_owned());
        }
        lines.push(format!("  {:<8} {}", check.verdict.name(), check.seen));
        lines.extend(check.hint.iter().map(|hint| format!("           fix: {hint}")));
    }
    let counts = VERDICTS.map(|verdict| format!("{} {}", diagnosis.count(verdict), verdict.name()));
    lines.push(format!("DOCTOR     {}", counts.join(", ")));
    lines.join("\n")
}

pub(super) fn view(diagnosis: &Diagnosis) -> Value {
    let counts = VERDICTS.map(|verdict| (verdict.name().to_owned(), json!(diagnosis.count(verdict))));
    json!({
        "result": "doctor",
        "checks": diagnosis.checks,
        "counts": counts.into_iter().collect::<serde_json::Map<_, _>>(),
        "interrupted": diagnosis.interrupted,
    })
}
