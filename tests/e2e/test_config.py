"""One name in four places: defaults < INI file < environment < flags; --print-config says which."""
import re

import pytest

from service import ROOT, run_verb


def printed(*flags, env=None, verb="serve"):
    """{name: (value and origin as one line)} of --print-config."""
    done = run_verb(verb, "--print-config", *flags, env=env)
    assert done.returncode == 0, done.stderr.decode()
    lines = {}
    for line in done.stdout.decode().splitlines():
        match = re.match(r"([a-z_]+) *=", line)
        if match:
            lines[match[1]] = line
    return lines


def test_every_option_is_shown_with_its_default():
    lines = printed()
    for name, value in {"model": "builtin", "max_queue": "128", "max_batch": "auto",
                        "step_tokens": "512", "kv_type": "f16", "host": "127.0.0.1",
                        "port": "8080", "drain_seconds": "30", "cpu": "auto",
                        "prefix_cache": "on", "log_format": "text",
                        "log_level": "info"}.items():
        assert value in lines[name] and "default" in lines[name], lines[name]


def test_flags_win_over_environment_over_file_over_default(tmp_path):
    ini = tmp_path / "my.ini"
    ini.write_text("[batching]\nmax_queue = 11\n\nmax_batch = 12\nstep_tokens = 13\n")
    env = {"SMALLMIND_MAX_QUEUE": "21", "SMALLMIND_MAX_BATCH": "22"}
    lines = printed("--config", ini, "--max-queue", "31", env=env)
    assert "31" in lines["max_queue"] and "--max-queue" in lines["max_queue"]
    assert "22" in lines["max_batch"] and "SMALLMIND_MAX_BATCH" in lines["max_batch"]
    assert "13" in lines["step_tokens"] and "my.ini:5" in lines["step_tokens"]
    assert "default" in lines["drain_seconds"]


def test_the_config_file_can_be_named_by_the_environment(tmp_path):
    ini = tmp_path / "my.ini"
    ini.write_text("port = 9123\n")
    assert "9123" in printed(env={"SMALLMIND_CONFIG": str(ini)})["port"]


def test_section_names_are_for_readers(tmp_path):
    ini = tmp_path / "my.ini"
    ini.write_text("; a comment\nmax_queue=5\n[anything at all]\nmax_batch = 6 ; and one here\n")
    lines = printed("--config", ini)
    assert "5" in lines["max_queue"] and "6" in lines["max_batch"]


def test_both_forms_of_a_flag():
    assert "77" in printed("--max-queue=77")["max_queue"]
    assert "78" in printed("--max-queue", "78")["max_queue"]


@pytest.mark.parametrize("short, long", [("512M", 512 << 20), ("2G", 2 << 30), ("4K", 4096)])
def test_sizes_have_suffixes(short, long):
    assert printed("--kv-memory", short)["kv_memory"] == printed("--kv-memory", long)["kv_memory"]


@pytest.mark.parametrize("text, line, right", [
    ("max_que = 5\n", 1, "max_queue"), ("[a]\n\nport = x\n", 3, "port"),
    ("threads = -1\n", 1, "threads"), ("max_queue = 5\nmax_queue = 6\n", 2, "max_queue")])
def test_a_wrong_line_of_the_file_is_exit_2_with_its_number(tmp_path, text, line, right):
    ini = tmp_path / "my.ini"
    ini.write_text(text)
    done = run_verb("serve", "--config", ini)
    assert done.returncode == 2
    assert f"my.ini:{line}" in done.stderr.decode() and right in done.stderr.decode()


def test_a_missing_config_file_is_an_error():
    done = run_verb("serve", "--config", "/nowhere/my.ini")
    assert done.returncode in (1, 2) and b"/nowhere/my.ini" in done.stderr


@pytest.mark.parametrize("name, value, right", [
    ("SMALLMIND_MAX_QUE", "5", "SMALLMIND_MAX_QUEUE"), ("SMALLMIND_PORT", "x", "SMALLMIND_PORT"),
    ("SMALLMIND_THREADS", "-2", "SMALLMIND_THREADS"), ("SMALLMIND_KV_TYPE", "f8", "f16")])
def test_a_wrong_variable_is_exit_2_and_named(name, value, right):
    done = run_verb("serve", env={name: value})
    assert done.returncode == 2 and right in done.stderr.decode()


def test_what_kubernetes_injects_is_ignored_with_a_log_line(serve):
    injected = {"SMALLMIND_PORT": "tcp://10.0.0.1:80", "SMALLMIND_SERVICE_HOST": "10.0.0.1",
                "SMALLMIND_SERVICE_PORT": "80", "SMALLMIND_SERVICE_PORT_HTTP": "80",
                "SMALLMIND_PORT_80_TCP": "tcp://10.0.0.1:80",
                "SMALLMIND_PORT_80_TCP_ADDR": "10.0.0.1", "SMALLMIND_PORT_80_TCP_PORT": "80",
                "SMALLMIND_PORT_80_TCP_PROTO": "tcp"}
    service = serve(env=injected)
    assert service.get("/livez").status == 200
    assert service.logged("SMALLMIND_PORT")
    assert "8080" in printed(env=injected)["port"]


def test_port_file_is_not_taken_for_an_injected_name(tmp_path):
    path = str(tmp_path / "p")
    assert path in printed(env={"SMALLMIND_PORT_FILE": path})["port_file"]


def test_a_printed_configuration_can_be_read_back(tmp_path):
    ini = tmp_path / "printed.ini"
    ini.write_bytes(run_verb("serve", "--print-config", "--max-queue", 77).stdout)
    assert "77" in printed("--config", ini)["max_queue"]


def test_the_shipped_file_has_every_option_at_its_default():
    shipped = ROOT / "config" / "smallmind.ini"
    from_file = printed("--config", shipped)
    for name, line in printed().items():
        if name not in ("config", "print_config", "help"):
            assert re.search(rf"^;?\s*{name}\s*=", shipped.read_text(), re.M), name
            assert from_file[name].split(";")[0] == line.split(";")[0]


def test_environment_settings_reach_the_service(serve):
    service = serve(env={"SMALLMIND_MAX_QUEUE": "9"})
    assert service.metrics().value("smallmind_queue_limit") == 9
