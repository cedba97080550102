//! The gateway against a real API server, and through a proxy that spoils requests.

use std::time::Duration;

use http::Method;
use promsafe::cluster::{Access, Cluster, ClusterError, ConnectOptions, Creation, Deletion, PodAddress, Tunnel};
use promsafe::model::{GroupKind, ObjectKey, ServedKind, Timeouts};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::control_plane::{CRD_KINDS, ControlPlane, Start, User, connect};
use crate::support::fault_proxy::{Fault, FaultProxy, When};

fn config_map(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced("", "ConfigMap", "configmaps", namespace, name)
}

fn namespace_key(name: &str) -> ObjectKey {
    ObjectKey::cluster_scoped("", "Namespace", "namespaces", name)
}

fn secret_key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::namespaced("", "Secret", "secrets", namespace, name)
}

fn manifest(key: &ObjectKey) -> String {
    json!({ "apiVersion": "v1", "kind": key.kind, "metadata": { "name": key.name, "namespace": key.namespace } })
        .to_string()
}

/// The shared API server with a namespace of this test's own.
async fn with_namespace(name: &str) -> (&'static ControlPlane, Cluster) {
    let control_plane = ControlPlane::shared().await;
    let cluster = control_plane.cluster().await;
    let key = namespace_key(name);
    assert!(matches!(cluster.create(&key, "v1", &manifest(&key)).await.unwrap(), Creation::Created(_)));
    (control_plane, cluster)
}

async fn served(cluster: &Cluster, kind: GroupKind) -> ServedKind {
    cluster.served_kinds().await.unwrap().find(kind).unwrap().clone()
}

fn short() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(1),
        request: Duration::from_secs(1),
        attempts: Duration::from_secs(4),
        ..Timeouts::default()
    }
}

/// The error with all its causes.
fn whole(error: &ClusterError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn object_is_created_once_changed_and_deleted() {
    let (_, cluster) = with_namespace("life").await;
    let key = config_map("life", "a");
    assert_eq!(cluster.get(&key, "v1").await.unwrap(), None);
    let with_data = manifest(&key).replacen('{', r#"{"data":{"j":"u"},"#, 1);
    let Creation::Created(created) = cluster.create(&key, "v1", &with_data).await.unwrap() else {
        panic!("it was not there")
    };
    assert_eq!(cluster.get(&key, "v1").await.unwrap(), Some(created.clone()));
    assert!(created.contains(r#""manager":"promsafe""#), "{created}");
    assert_eq!(cluster.create(&key, "v1", &manifest(&key)).await.unwrap(), Creation::AlreadyExists);
    let patched = cluster.merge_patch(&key, "v1", &json!({ "data": { "k": "v" } })).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&patched).unwrap()["data"]["k"], "v");
    assert_eq!(cluster.delete(&key, "v1").await.unwrap(), Deletion::Asked);
    assert_eq!(cluster.delete(&key, "v1").await.unwrap(), Deletion::Absent);
    assert!(cluster.merge_patch(&key, "v1", &json!({})).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn object_of_a_kind_not_served_is_absent() {
    let cluster = ControlPlane::shared().await.cluster().await;
    let key = ObjectKey::namespaced("nowhere.example", "Nothing", "nothings", "default", "a");
    assert_eq!(cluster.get(&key, "nowhere.example/v1").await.unwrap(), None);
}

#[tokio::test]
async fn identity_names_the_cluster() {
    let control_plane = ControlPlane::shared().await;
    let identity = control_plane.cluster().await.identity().await.unwrap();
    assert_eq!(identity.server, control_plane.server());
    assert!(identity.version.starts_with("v1."), "{}", identity.version);
    assert_eq!(identity.uid.len(), 36);
}

#[tokio::test]
async fn listing_of_many_pages_keeps_all_in_the_text_of_a_single_get() {
    let (control_plane, cluster) = with_namespace("paging").await;
    let items: Vec<_> = (0..1203)
        .map(|number| {
            json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": format!("c{number:04}"), "namespace": "paging", "labels": { "odd": (number % 2).to_string() } },
            "data": { "text": "<é&\u{2028}>" } })
        })
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    control_plane.kubectl(&["create", "--filename=-"], &list.to_string());

    let kind = served(&cluster, GroupKind("", "ConfigMap")).await;
    let listed = cluster.list(&kind, Some("paging"), None).await.unwrap();
    assert_eq!(listed.len(), 1203);
    for number in [0, 499, 500, 1000, 1202] {
        let key = config_map("paging", &format!("c{number:04}"));
        let one = &listed[number];
        assert_eq!((&*one.name, one.namespace.as_deref()), (&*key.name, Some("paging")));
        assert_eq!(Some(&one.json), cluster.get(&key, "v1").await.unwrap().as_ref());
    }
    assert_eq!(cluster.list(&kind, Some("paging"), Some("odd=1")).await.unwrap().len(), 601);
    assert!(cluster.list(&kind, None, None).await.unwrap().len() >= 1203);
}

#[tokio::test]
async fn listed_custom_resource_has_the_text_of_a_single_get() {
    let (_, cluster) = with_namespace("custom").await;
    let kind = served(&cluster, GroupKind("monitoring.coreos.com", "PrometheusRule")).await;
    let key = kind.key(Some("custom"), "rules");
    let rule = json!({ "apiVersion": kind.api_version(), "kind": kind.kind,
        "metadata": { "name": "rules", "namespace": "custom" },
        "spec": { "groups": [{ "name": "g", "rules": [{ "record": "a:b", "expr": "1 < 2" }] }] } });
    cluster.create(&key, &kind.api_version(), &rule.to_string()).await.unwrap();
    let listed = cluster.list(&kind, Some("custom"), None).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(Some(&listed[0].json), cluster.get(&key, &kind.api_version()).await.unwrap().as_ref());
}

/// Makes so many ConfigMaps in a namespace.
fn make_config_maps(control_plane: &ControlPlane, namespace: &str, count: usize) {
    let items: Vec<_> = (0..count)
        .map(|number| {
            json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": format!("c{number}"), "namespace": namespace }, "data": { "x": "y".repeat(1200) } })
        })
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    control_plane.kubectl(&["create", "--filename=-"], &list.to_string());
}

#[tokio::test]
async fn listing_goes_on_when_the_server_forgot_its_place() {
    let (control_plane, cluster) = with_namespace("expired").await;
    make_config_maps(control_plane, "expired", 501);
    let proxy = FaultProxy::start(control_plane).await;
    // Of a server that does not say its version no long list is asked for at once.
    proxy.spoil(Method::GET, "/version", When::Always, Fault::Status(404));
    let gone = proxy.spoil(Method::GET, "continue=", When::First(1), Fault::Status(410));
    let kind = served(&cluster, GroupKind("", "ConfigMap")).await;
    let listed = proxy.cluster(&short()).await.list(&kind, Some("expired"), None).await.unwrap();
    assert_eq!((listed.len(), gone.spoilt()), (501, 1));
}

#[tokio::test]
async fn long_list_comes_in_one_answer_and_one_that_breaks_off_is_gone_on_with_page_by_page() {
    let (control_plane, cluster) = with_namespace("long").await;
    make_config_maps(control_plane, "long", 1100);
    let kind = served(&cluster, GroupKind("", "ConfigMap")).await;
    let by_pages = {
        let proxy = FaultProxy::start(control_plane).await;
        proxy.spoil(Method::GET, "/version", When::Always, Fault::Status(404));
        proxy.cluster(&short()).await.list(&kind, Some("long"), None).await.unwrap()
    };
    assert_eq!(by_pages.len(), 1100);
    for (fault, requests) in
        [(None, 2), (Some(Fault::CutAnswer), 5), (Some(Fault::Close), 4), (Some(Fault::Status(503)), 4)]
    {
        let proxy = FaultProxy::start(control_plane).await;
        let spoilt = When::Only(if fault.is_some() { 2 } else { u32::MAX });
        let asked = proxy.spoil(Method::GET, "/long/configmaps", spoilt, fault.unwrap_or(Fault::Close));
        let mut listed = proxy.cluster(&short()).await.list(&kind, Some("long"), None).await.unwrap();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        let mut expected = by_pages.clone();
        expected.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(listed == expected, "{fault:?}: {} objects", listed.len());
        assert_eq!(asked.matched(), requests, "{fault:?}");
    }
}

#[tokio::test]
async fn kinds_of_new_definitions_are_served_after_loading() {
    let control_plane = ControlPlane::start(Start::Empty).await;
    let cluster = control_plane.cluster().await;
    let before = cluster.served_kinds().await.unwrap();
    assert!(CRD_KINDS.iter().all(|kind| before.find(*kind).is_none()));
    control_plane.load_crds().await;
    let after = cluster.served_kinds().await.unwrap();
    assert!(CRD_KINDS.iter().all(|kind| after.find(*kind).is_some()));
    assert_eq!(after.failed_groups, Vec::<String>::new());
    let deployment = after.find(GroupKind("apps", "Deployment")).unwrap();
    assert_eq!((deployment.api_version().as_str(), deployment.namespaced), ("apps/v1", true));
    assert!(deployment.can("list") && after.kinds.iter().all(|kind| !kind.plural.contains('/')));
}

#[tokio::test]
async fn names_are_listed_as_the_objects_are() {
    let control_plane = ControlPlane::start(Start::WithCrds).await;
    let cluster = control_plane.cluster().await;
    let kind = served(&cluster, GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")).await;
    let whole = cluster.list(&kind, None, None).await.unwrap();
    let names: Vec<String> = whole.into_iter().map(|object| object.name).collect();
    assert!(names.len() >= CRD_KINDS.len(), "{names:?}");
    assert_eq!(cluster.list_names(&kind).await.unwrap(), names);
}

#[tokio::test]
async fn dead_api_service_costs_its_own_group_alone() {
    let control_plane = ControlPlane::start(Start::Empty).await;
    control_plane.apply(
        "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: v1beta1.metrics.k8s.io}\n\
         spec:\n  group: metrics.k8s.io\n  version: v1beta1\n  groupPriorityMinimum: 100\n  versionPriority: 100\n  \
         insecureSkipTLSVerify: true\n  service: {name: absent, namespace: kube-system}\n",
    );
    let cluster = control_plane.cluster().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let served = loop {
        let began = Instant::now();
        let served = cluster.served_kinds().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(10));
        if !served.failed_groups.is_empty() || Instant::now() > deadline {
            break served;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(served.failed_groups, ["metrics.k8s.io"]);
    assert!(served.find(GroupKind("apps", "StatefulSet")).is_some());

    // Group by group, as with an API server older than aggregated discovery: the same, and as soon.
    let proxy = FaultProxy::start(&control_plane).await;
    proxy.spoil(Method::GET, "/api", When::Always, Fault::PlainJson);
    let began = Instant::now();
    let mut plain = proxy.cluster(&Timeouts::default()).await.served_kinds().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    let mut aggregated = served;
    for served in [&mut plain, &mut aggregated] {
        served.kinds.sort_by_key(|kind| (kind.group.clone(), kind.plural.clone()));
        served.kinds.iter_mut().for_each(|kind| kind.verbs.sort());
    }
    assert_eq!(plain, aggregated);
}

#[tokio::test]
async fn what_rbac_refuses_is_forbidden_by_verb_and_resource() {
    let (control_plane, cluster) = with_namespace("rbac").await;
    control_plane.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader, namespace: rbac}\n\
         rules: [{apiGroups: [''], resources: [configmaps], verbs: [get, list]}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: reader, namespace: rbac}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}\n\
         subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: restricted}]\n",
    );
    let restricted = control_plane.cluster_as(User::Restricted).await;
    let maps = served(&cluster, GroupKind("", "ConfigMap")).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while restricted.list(&maps, Some("rbac"), None).await.is_err() {
        assert!(Instant::now() < deadline, "the role never took effect");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let secrets = served(&cluster, GroupKind("", "Secret")).await;
    let refused = restricted.list(&secrets, Some("rbac"), None).await.unwrap_err();
    assert!(refused.is_forbidden());
    assert!(refused.to_string().starts_with("not allowed to list secrets in namespace rbac: "), "{refused}");
    let refused = restricted.delete(&config_map("rbac", "a"), "v1").await.unwrap_err();
    assert!(refused.to_string().starts_with("not allowed to delete ConfigMap rbac/a: "), "{refused}");

    let access = |verb: &str, subresource: Option<&str>| Access {
        verb: verb.to_owned(),
        group: String::new(),
        resource: if subresource.is_some() { "pods".to_owned() } else { "configmaps".to_owned() },
        subresource: subresource.map(str::to_owned),
        namespace: Some("rbac".to_owned()),
    };
    assert!(restricted.allowed(&access("list", None)).await.unwrap());
    assert!(!restricted.allowed(&access("create", None)).await.unwrap());
    assert!(!restricted.allowed(&access("get", Some("proxy"))).await.unwrap());
    assert!(cluster.allowed(&access("get", Some("proxy"))).await.unwrap());
    assert_eq!(access("get", Some("proxy")).to_string(), "get pods/proxy in namespace rbac");
}

#[tokio::test]
async fn unknown_token_is_unauthorized() {
    let control_plane = ControlPlane::shared().await;
    let text = std::fs::read_to_string(control_plane.kubeconfig(User::Admin)).unwrap();
    let path = control_plane.directory().join("stranger.kubeconfig");
    std::fs::write(&path, text.replace(&User::Admin.token(), "stranger")).unwrap();
    let error = connect(&path, &short()).await.served_kinds().await.unwrap_err();
    assert!(matches!(error, ClusterError::Unauthorized { .. }), "{error}");
}

#[tokio::test]
async fn create_in_a_namespace_being_deleted_says_so() {
    let (_, cluster) = with_namespace("ending").await;
    cluster.delete(&namespace_key("ending"), "v1").await.unwrap();
    let key = config_map("ending", "late");
    let error = cluster.create(&key, "v1", &manifest(&key)).await.unwrap_err();
    assert!(matches!(error, ClusterError::NamespaceTerminating { .. }), "{error}");
}

#[tokio::test]
async fn content_of_a_secret_is_in_no_error() {
    let (_, cluster) = with_namespace("secrecy").await;
    let key = secret_key("secrecy", "s");
    let with = |data: Value| {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": "secrecy" },
            "type": "kubernetes.io/dockerconfigjson", "data": data })
        .to_string()
    };
    // Not base64; not what its type wants; not even a map of texts.
    for data in [
        json!({ ".dockerconfigjson": "hunter2!" }),
        json!({ ".dockerconfigjson": "aHVudGVyMg==" }),
        json!({ "hunter2": 7 }),
        json!("hunter2"),
    ] {
        let error = cluster.create(&key, "v1", &with(data)).await.unwrap_err();
        let text = whole(&error);
        assert!(matches!(error, ClusterError::Invalid { .. }), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        assert!(text.starts_with("cannot create Secret secrecy/s, it is invalid: "), "{text}");
    }
    let patch = json!({ "data": { "k": "hunter2!" } });
    cluster.create(&key, "v1", &manifest(&key)).await.unwrap();
    let text = whole(&cluster.merge_patch(&key, "v1", &patch).await.unwrap_err());
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn invalid_object_is_told_with_its_field() {
    let (_, cluster) = with_namespace("invalid").await;
    let key = config_map("invalid", "Bad_Name");
    let error = cluster.create(&key, "v1", &manifest(&key)).await.unwrap_err();
    assert!(matches!(error, ClusterError::Invalid { .. }) && error.to_string().contains("metadata.name"), "{error}");
}

#[tokio::test]
async fn passing_faults_are_outlasted_by_reads_and_writes() {
    let (control_plane, _) = with_namespace("faults").await;
    let proxy = FaultProxy::start(control_plane).await;
    let cluster = proxy.cluster(&Timeouts::default()).await;
    cluster.identity().await.unwrap();
    let faults = [
        Fault::Status(429),
        Fault::StatusRetryAfter(429, 1),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(504),
        Fault::Close,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let key = config_map("faults", &format!("c{number}"));
        let hits = proxy.spoil(None, "/namespaces/faults/configmaps", When::First(2), fault);
        let created = cluster.create(&key, "v1", &manifest(&key)).await.unwrap();
        assert!(matches!(created, Creation::Created(_)), "{fault:?}");
        assert_eq!((hits.matched(), hits.spoilt()), (3, 2), "{fault:?}");
        proxy.heal();
        let hits = proxy.spoil(None, &key.name, When::Every(2), fault);
        for _ in 0..2 {
            assert!(cluster.get(&key, "v1").await.unwrap().is_some(), "{fault:?}");
        }
        cluster.merge_patch(&key, "v1", &json!({ "data": { "k": "v" } })).await.unwrap();
        assert_eq!(cluster.delete(&key, "v1").await.unwrap(), Deletion::Asked, "{fault:?}");
        assert_eq!(hits.spoilt(), 3, "{fault:?}");
        proxy.heal();
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let (control_plane, _) = with_namespace("retry-after").await;
    let proxy = FaultProxy::start(control_plane).await;
    let cluster = proxy.cluster(&Timeouts::default()).await;
    proxy.spoil(Method::GET, "/version", When::Only(1), Fault::StatusRetryAfter(429, 2));
    let began = Instant::now();
    cluster.identity().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn conflict_on_a_patch_is_tried_again_unless_it_names_a_version() {
    let (control_plane, cluster) = with_namespace("conflict").await;
    let key = config_map("conflict", "a");
    cluster.create(&key, "v1", &manifest(&key)).await.unwrap();
    let proxy = FaultProxy::start(control_plane).await;
    let through = proxy.cluster(&Timeouts::default()).await;
    let hits = proxy.spoil(Method::PATCH, "configmaps/a", When::First(2), Fault::Status(409));
    through.merge_patch(&key, "v1", &json!({ "data": { "k": "v" } })).await.unwrap();
    assert_eq!(hits.spoilt(), 2);
    let stale = json!({ "metadata": { "resourceVersion": "1" }, "data": { "k": "w" } });
    let error = through.merge_patch(&key, "v1", &stale).await.unwrap_err();
    assert!(matches!(error, ClusterError::Conflict { .. }), "{error}");
    assert_eq!(hits.matched(), 4);
}

#[tokio::test]
async fn create_whose_answer_was_lost_finds_its_own_object() {
    let (control_plane, _) = with_namespace("lost").await;
    let proxy = FaultProxy::start(control_plane).await;
    let cluster = proxy.cluster(&Timeouts::default()).await;
    cluster.identity().await.unwrap();
    proxy.spoil(Method::POST, "configmaps", When::Only(1), Fault::LoseAnswer);
    let key = config_map("lost", "a");
    assert_eq!(cluster.create(&key, "v1", &manifest(&key)).await.unwrap(), Creation::AlreadyExists);
}

#[tokio::test]
async fn endless_server_error_ends_bounded() {
    let (control_plane, _) = with_namespace("endless").await;
    let proxy = FaultProxy::start(control_plane).await;
    let cluster = proxy.cluster(&Timeouts::default()).await;
    let hits = proxy.spoil(Method::GET, "/namespaces/endless", When::Always, Fault::Status(500));
    let began = Instant::now();
    let error = cluster.get(&config_map("endless", "a"), "v1").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(error.to_string(), "gave up to get ConfigMap endless/a after 6 attempts");
    assert!(whole(&error).contains("answered 500: injected fault"), "{}", whole(&error));
    assert_eq!(hits.spoilt(), 6);
}

#[tokio::test]
async fn silent_server_times_out_and_counts_as_unreachable() {
    let (control_plane, _) = with_namespace("silent").await;
    let proxy = FaultProxy::start(control_plane).await;
    let cluster = proxy.cluster(&short()).await;
    cluster.identity().await.unwrap();
    let hits = proxy.spoil(Method::GET, "/namespaces/silent", When::Always, Fault::Stall);
    let began = Instant::now();
    let error = cluster.get(&config_map("silent", "a"), "v1").await.unwrap_err();
    assert!(matches!(error, ClusterError::TimedOut { .. }) && error.is_unreachable(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5) && hits.spoilt() >= 3, "{hits:?}");
}

#[tokio::test]
async fn server_that_never_answered_is_told_unreachable_soon() {
    let control_plane = ControlPlane::shared().await;
    let text = std::fs::read_to_string(control_plane.kubeconfig(User::Admin)).unwrap();
    let path = control_plane.directory().join("nobody.kubeconfig");
    // Port 1 of loopback: refused at once.
    std::fs::write(&path, text.replace(control_plane.server(), "https://127.0.0.1:1")).unwrap();
    let cluster = connect(&path, &Timeouts::default()).await;
    let began = Instant::now();
    let error = cluster.identity().await.unwrap_err();
    assert!(error.is_unreachable() && began.elapsed() < Duration::from_secs(3), "{error}");
    assert_eq!(error.to_string(), "cannot reach the API server https://127.0.0.1:1 (3 attempts)");
    assert!(whole(&error).contains("refused"), "{}", whole(&error));
}

#[tokio::test]
async fn restarted_server_is_waited_for() {
    let (control_plane, _) = with_namespace("restart").await;
    let proxy = FaultProxy::start(control_plane).await;
    let cluster = proxy.cluster(&Timeouts::default()).await;
    cluster.identity().await.unwrap();
    let hits = proxy.spoil(None, "", When::First(5), Fault::Close);
    cluster.identity().await.unwrap();
    assert_eq!(hits.spoilt(), 5);
}

#[tokio::test]
async fn pod_that_is_not_there_or_not_running_is_told() {
    let (control_plane, cluster) = with_namespace("pods").await;
    let pod = PodAddress {
        namespace: "pods".to_owned(),
        pod: "prometheus-0".to_owned(),
        port: 9090,
        scheme: "http".to_owned(),
    };
    let absent = cluster.pod_get(&pod, "/-/ready").await.unwrap_err();
    assert!(absent.is_not_found(), "{absent}");
    let restricted = control_plane.cluster_as(User::Restricted).await;
    let refused = restricted.pod_get(&pod, "/-/ready").await.unwrap_err();
    assert!(refused.to_string().starts_with("not allowed to get pods/proxy pods/prometheus-0: "), "{refused}");

    let proxy = FaultProxy::start(control_plane).await;
    let hits = proxy.spoil(Method::GET, "/pods/http:prometheus-0:9090/proxy/-/ready", When::Always, Fault::Status(503));
    let unready = proxy.cluster(&short()).await.pod_get(&pod, "/-/ready").await.unwrap_err();
    assert_eq!(unready.to_string(), "pod pods/prometheus-0:9090 answered 503: injected fault");
    assert_eq!(hits.spoilt(), 1);
}

#[tokio::test]
async fn tunnel_that_is_not_allowed_or_leads_nowhere_is_told() {
    let (control_plane, cluster) = with_namespace("tunnels").await;
    let secret = secret_key("tunnels", "login");
    control_plane.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: login, namespace: tunnels}, stringData: {token: hunter2}}",
    );
    let credentials = cluster.credentials(&secret).await.unwrap();
    let pod = PodAddress {
        namespace: "tunnels".to_owned(),
        pod: "prometheus-0".to_owned(),
        port: 9090,
        scheme: "https".to_owned(),
    };
    let tunnel = |cluster| Tunnel::new(cluster, pod.clone(), credentials.clone());
    let words = |error: &ClusterError| promsafe::words::chain(error);
    let absent = words(&tunnel(cluster.clone()).get("/-/ready").await.unwrap_err());
    let reached = "cannot reach pod tunnels/prometheus-0:9090 by pods/portforward: ";
    assert!(absent.starts_with(reached) && absent.contains("not found"), "{absent}");
    let restricted = control_plane.cluster_as(User::Restricted).await;
    let refused = words(&tunnel(restricted).get("/-/ready").await.unwrap_err());
    assert!(refused.starts_with(reached) && refused.contains("cannot get resource \"pods/portforward\""), "{refused}");
    assert!(![absent, refused].concat().contains("hunter2"));
}

#[tokio::test]
async fn missing_kubeconfig_is_named() {
    let options = ConnectOptions { kubeconfig: Some("/nowhere/kubeconfig".into()), context: Some("blue".to_owned()) };
    let error = Cluster::connect(&options, &Timeouts::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read context blue of the kubeconfig /nowhere/kubeconfig");
}
