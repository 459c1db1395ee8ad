"""The manifests hang together, and what they give to gpudoctor is what gpudoctor takes."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from gpudoctor import config
from gpudoctor.cli.serve import serve
from gpudoctor.daemon.listen import parse

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"


def read(name):
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.fixture
def pod():
    return read("daemonset.yaml")["spec"]["template"]


@pytest.fixture
def container(pod):
    [found] = pod["spec"]["containers"]
    return found


def test_every_file_is_a_resource_of_the_kustomization():
    told = read("kustomization.yaml")
    manifests = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(told["resources"]) == manifests
    for name in manifests:
        one = read(name)
        assert one["apiVersion"] and one["kind"] and one["metadata"]["name"]
        # kustomize sets it; a second place would have to be changed, too.
        assert "namespace" not in one["metadata"]
    assert read("namespace.yaml")["metadata"]["name"] == told["namespace"]


# The schema of a ServiceMonitor is the Prometheus operator's, not Kubernetes' own.
KINDS = ("daemonset", "namespace", "service")
VERSIONS = ("1.25", "1.31", "1.37")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KINDS)
def test_kubernetes_knows_every_word_of_a_manifest(name, version):
    kubernetes_validate.validate(read(f"{name}.yaml"), version, strict=True)


def test_of_all_manifests_only_the_operators_is_not_of_kubernetes():
    found = {path.stem for path in FOLDER.glob("*.yaml")}
    assert found == {*KINDS, "servicemonitor", "kustomization"}


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("spec", "template", "spec", "hostPID"), "yes"),
        (("spec", "template", "spec", "hostPid"), True),
        (("spec", "updateStrategy", "rollingUpdate", "maxUnavailable"), []),
    ],
)
def test_what_kubernetes_would_not_take_is_seen(words, value):
    manifest = read("daemonset.yaml")
    *way, last = words
    place = manifest
    for word in way:
        place = place.setdefault(word, {})
    place[last] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.31", strict=True)


def test_selectors_find_what_they_are_for(pod):
    labels = pod["metadata"]["labels"].items()
    daemonset, service = read("daemonset.yaml"), read("service.yaml")
    assert daemonset["spec"]["selector"]["matchLabels"].items() <= labels
    assert service["spec"]["selector"].items() <= labels
    monitor = read("servicemonitor.yaml")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "gpudoctor"


def test_ports_are_one_port(container):
    [port] = container["ports"]
    [of_service] = read("service.yaml")["spec"]["ports"]
    [endpoint] = read("servicemonitor.yaml")["spec"]["endpoints"]
    assert of_service["targetPort"] == port["name"]
    assert endpoint["port"] == of_service["name"]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == port["name"]
    assert parse(config.load(FOLDER / "config.toml").serve.listen).port == port["containerPort"]


def test_gpudoctor_takes_its_arguments_and_its_settings(container):
    command, *rest = container["args"]
    assert command == "serve"
    with serve.make_context("serve", list(rest)) as made:
        assert made.params["wait_for_driver"]
    env = {one["name"]: one["value"] for one in container["env"]}
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    folder, _, file = env["GPUDOCTOR_CONFIG"].rpartition("/")
    [generated] = read("kustomization.yaml")["configMapGenerator"]
    assert file in generated["files"]
    assert mounts[folder] == "config"
    assert mounts[env["STATE_DIRECTORY"]] == "state"


def test_every_mount_has_its_volume(pod, container):
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    assert {one["name"] for one in container["volumeMounts"]} == set(volumes)
    [generated] = read("kustomization.yaml")["configMapGenerator"]
    assert volumes["config"]["configMap"]["name"] == generated["name"]


def test_it_may_see_the_host_and_nothing_more(pod, container):
    spec, limits = pod["spec"], container["securityContext"]
    assert spec["hostPID"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    assert limits["capabilities"] == {"drop": ["ALL"]}
    assert limits["readOnlyRootFilesystem"]
    assert not limits["allowPrivilegeEscalation"]
    # A GPU that is requested is taken from those who would work on it.
    assert not any(
        "nvidia.com" in name for kind in container["resources"].values() for name in kind
    )


def test_the_image_that_is_pulled_is_named_in_one_place(container):
    [image] = read("kustomization.yaml")["images"]
    assert image["name"] == container["image"]
    assert 'ENTRYPOINT ["gpudoctor"]' in (FOLDER / "Dockerfile").read_text()
