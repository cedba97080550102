//! Kubernetes manifests for people to read and apply: YAML with comments, or one JSON List. Knows how roles and bindings
//! are spelled; what they grant stands in `access`.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{OutputFormat, PrintError};
use crate::access::{self, Account, Copies, Role, RoleRule, Run};

/// Longest line of a comment.
const WIDTH: usize = 118;
const RBAC: &str = "rbac.authorization.k8s.io";

/// One object, with what there is to say about it.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Why it is there; may be empty.
    pub comment: String,
    /// The object.
    pub object: Value,
    /// Its rules, when it is a role; each is printed with its reason.
    rules: Vec<RoleRule>,
}

impl Manifest {
    /// An object that explains itself by a comment above it.
    pub fn new(comment: impl Into<String>, object: Value) -> Self {
        Self { comment: comment.into(), object, rules: Vec::new() }
    }

    fn yaml(&self) -> Result<String, PrintError> {
        let failed = |error| PrintError { source: Box::new(error) };
        let mut text = comment("", &self.comment);
        text.push_str(serde_saphyr::to_string(&self.object).map_err(failed)?.trim_end());
        text.push('\n');
        if !self.rules.is_empty() {
            text.push_str("rules:\n");
        }
        for rule in &self.rules {
            text.push_str(&comment("  ", rule.because));
            for (index, (field, value)) in fields(rule).iter().enumerate() {
                let dash = if index == 0 { "-" } else { " " };
                // JSON is YAML: a list in one line.
                let _ = writeln!(text, "  {dash} {field}: {}", json!(value).to_string().replace(',', ", "));
            }
        }
        Ok(text)
    }

    fn json(&self) -> Value {
        let mut object = self.object.clone();
        if !self.rules.is_empty() {
            object["rules"] = self.rules.iter().map(|rule| fields(rule).into_iter().collect::<Value>()).collect();
        }
        object
    }
}

fn fields(rule: &RoleRule) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut fields = vec![("apiGroups", vec![rule.group]), ("resources", rule.resources.clone())];
    if !rule.names.is_empty() {
        fields.push(("resourceNames", rule.names.clone()));
    }
    fields.push(("verbs", rule.verbs.clone()));
    fields
}

/// Lines of a comment, broken at spaces; empty lines stay.
fn comment(indent: &str, text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = format!("{indent}#");
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if line.len() + 1 + word.len() > WIDTH {
                let _ = writeln!(lines, "{line}");
                line = format!("{indent}#");
            }
            let _ = write!(line, " {word}");
        }
        let _ = writeln!(lines, "{line}");
    }
    lines
}

/// Manifests in the format asked for.
///
/// # Errors
/// When they cannot be printed in it.
pub fn manifests(manifests: &[Manifest], output: OutputFormat) -> Result<String, PrintError> {
    match output {
        OutputFormat::Json => {
            let items: Vec<Value> = manifests.iter().map(Manifest::json).collect();
            Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
        }
        OutputFormat::Table | OutputFormat::Yaml => {
            let documents: Result<Vec<String>, PrintError> = manifests.iter().map(Manifest::yaml).collect();
            Ok(documents?.join("---\n"))
        }
    }
}

/// The service account of a run.
pub fn service_account(account: &Account, annotations: &[(String, String)]) -> Manifest {
    let mut metadata = json!({"name": account.name, "namespace": account.namespace});
    if !annotations.is_empty() {
        metadata["annotations"] = annotations.iter().cloned().collect();
    }
    Manifest::new("", json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}))
}

/// The roles of a run and their bindings.
pub fn roles(run: Run, namespaces: &[String], account: &Account, copies: Copies) -> Vec<Manifest> {
    access::roles(run, namespaces, account, copies)
        .into_iter()
        .flat_map(|role| [role_of(&role), binding(&role, account)])
        .collect()
}

fn role_of(role: &Role) -> Manifest {
    let kind = if role.namespace.is_some() { "Role" } else { "ClusterRole" };
    let object = json!({"apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": metadata(role)});
    Manifest { comment: role.purpose.clone(), object, rules: role.rules.clone() }
}

fn binding(role: &Role, account: &Account) -> Manifest {
    let kind = if role.namespace.is_some() { "Role" } else { "ClusterRole" };
    Manifest::new(
        "",
        json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": format!("{kind}Binding"),
            "metadata": metadata(role),
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role.name},
            "subjects": [{"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}],
        }),
    )
}

fn metadata(role: &Role) -> Value {
    match &role.namespace {
        Some(namespace) => json!({"name": role.name, "namespace": namespace}),
        None => json!({"name": role.name}),
    }
}
