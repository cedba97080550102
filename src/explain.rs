//! Why an object is in a backup, or is not: answered from a cluster as it is now, or from a backup without any cluster.

use crate::bundle::{self, BundleError};
use crate::cluster::Cluster;
use crate::discover::{DiscoverError, Scope, discover};
use crate::layout;
use crate::model::{BackupId, Decisions, MissingReference, Reporter};
use crate::store::{Store, StoreError};

/// Which object is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Kind or plural as people type it, in any case: `Secret`, `secrets`, `prometheus`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; `None` asks in all of them and at cluster scope.
    pub namespace: Option<String>,
}

/// What is said of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// The object, as `Kind namespace/name`.
    pub object: String,
    /// Whether it is in.
    pub is_in: bool,
    /// Why.
    pub because: String,
}

/// The question could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The cluster could not be looked at.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The backup could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bundle could not be unpacked.
    #[error("unpack {file} of backup {id}")]
    Unpack {
        /// The backup.
        id: BackupId,
        /// The file.
        file: &'static str,
        /// Why.
        #[source]
        source: BundleError,
    },
    /// There is no such object among all that was looked at.
    #[error("{question} was not looked at: {why}")]
    Unknown {
        /// What was asked.
        question: String,
        /// What that means.
        why: &'static str,
    },
}

/// Asks a cluster what a backup taken now would hold.
///
/// # Errors
/// When the cluster cannot be looked at, or the object was not.
pub async fn in_cluster(
    cluster: &Cluster,
    scope: &Scope,
    question: &Question,
    reporter: &dyn Reporter,
) -> Result<Vec<Answer>, ExplainError> {
    let mut decisions = Decisions::default();
    let (inventory, _) = discover(cluster, scope, &mut decisions, reporter).await?;
    let kept =
        decisions.kept.into_iter().filter(|(key, _)| question.means(&key.kind, &key.plural, &key.qualified_name()));
    let left_out = decisions.left_out.into_iter();
    let left_out = left_out.filter(|(key, _)| question.means(&key.kind, &key.plural, &key.qualified_name()));
    let mut answers: Vec<Answer> = kept.map(|(key, because)| is_in(key.to_string(), because)).collect();
    answers.extend(left_out.map(|(key, because)| is_out(key.to_string(), because)));
    answers.extend(question.missing(&inventory.missing_references));
    question.answered(answers, "nothing that is in a backup needs it, or it does not exist")
}

/// Asks a backup what it holds. No cluster is needed.
///
/// # Errors
/// When the backup cannot be read, or does not speak of the object.
pub async fn in_backup(store: &Store, id: &BackupId, question: &Question) -> Result<Vec<Answer>, ExplainError> {
    let backup = store.open_backup(id).await?;
    if backup.record().directory.is_some() {
        return question.answered(Vec::new(), "the backup is a copy of a directory: it holds files and no objects");
    }
    let bytes = backup.read(layout::BUNDLE).await?;
    let failed = |source| ExplainError::Unpack { id: id.clone(), file: layout::BUNDLE, source };
    let kept = bundle::unpack(&bytes).map_err(failed)?.into_iter();
    let kept = kept.filter(|object| question.means(&object.key.kind, &object.key.plural, &object.key.qualified_name()));
    let mut answers: Vec<Answer> = kept.map(|object| is_in(object.key.to_string(), object.reason)).collect();
    for (object, because) in bundle::left_out(&bytes).map_err(failed)? {
        let (kind, name) = object.split_once(' ').unwrap_or((&object, ""));
        if question.means(kind, "", name) {
            answers.push(is_out(object, because));
        }
    }
    answers.extend(question.missing(&backup.record().missing_references));
    question.answered(answers, "it did not exist when the backup was taken, or nothing in the backup needed it")
}

fn is_in(object: String, because: String) -> Answer {
    Answer { object, is_in: true, because }
}

fn is_out(object: String, because: String) -> Answer {
    Answer { object, is_in: false, because }
}

impl Question {
    /// Whether this object is meant. `qualified` is `namespace/name`, or the name alone.
    fn means(&self, kind: &str, plural: &str, qualified: &str) -> bool {
        let (namespace, name) = match qualified.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, qualified),
        };
        let asked = self.kind.to_lowercase();
        let of_kind =
            [kind.to_lowercase(), format!("{}s", kind.to_lowercase()), plural.to_lowercase()].contains(&asked);
        of_kind && name == self.name && (self.namespace.is_none() || self.namespace.as_deref() == namespace)
    }

    fn missing(&self, references: &[MissingReference]) -> Vec<Answer> {
        let asked = references.iter().filter(|reference| {
            let (kind, rest) = reference.object.split_once(' ').unwrap_or((&reference.object, ""));
            self.means(kind, "", rest.split(' ').next().unwrap_or_default())
        });
        let answers = asked.map(|reference| {
            is_out(reference.object.clone(), format!("{}, and {} needs it", reference.why, reference.needed_by()))
        });
        answers.collect()
    }

    fn answered(&self, mut answers: Vec<Answer>, why: &'static str) -> Result<Vec<Answer>, ExplainError> {
        answers.sort();
        if answers.is_empty() {
            let place = self.namespace.as_ref().map_or_else(String::new, |namespace| format!("{namespace}/"));
            return Err(ExplainError::Unknown { question: format!("{} {place}{}", self.kind, self.name), why });
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(kind: &str, namespace: Option<&str>) -> Question {
        Question { kind: kind.into(), name: "k8s".into(), namespace: namespace.map(Into::into) }
    }

    #[test]
    fn an_object_is_meant_by_kind_or_plural_in_any_case_and_namespace_when_given() {
        let means = |kind, namespace| question(kind, namespace).means("Prometheus", "prometheuses", "monitoring/k8s");
        assert!(means("prometheus", None) && means("Prometheuses", Some("monitoring")));
        assert!(!means("prometheus", Some("other")) && !means("Prometheu", None));
        assert!(question("ClusterRole", None).means("ClusterRole", "clusterroles", "k8s"));
        assert!(!question("ClusterRole", Some("x")).means("ClusterRole", "clusterroles", "k8s"));
    }

    #[test]
    fn what_was_not_looked_at_is_an_error_in_words() {
        let error = question("secret", Some("a")).answered(Vec::new(), "why").unwrap_err();
        assert_eq!(error.to_string(), "secret a/k8s was not looked at: why");
    }
}
