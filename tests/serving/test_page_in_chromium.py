"""The page in a real browser: driven by mouse and keyboard, light and dark, wide and narrow."""

import time

import pytest
from serving import chromium
from serving.servers import Running
from serving.service_logs import bundle_of, env_of, service_of

from recsys_cli.serving.http.app import make_app
from recsys_cli.serving.running import chores_of_each
from recsys_cli.serving.service import Service

pytestmark = [
    pytest.mark.skipif(chromium.FOUND is None, reason="there is no Chromium here"),
    pytest.mark.xdist_group("chromium"),
]
SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  if (!entry.hadRecentInput) window.shift += entry.value;
})).observe({ type: "layout-shift", buffered: true });
"""
NARROW = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
# Text with less contrast than WCAG's AA, 4.5; on gradients the end colours count.
PALE = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (color) => rgba(color).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none") return style.backgroundImage.match(/(oklch|rgba?|hsl)\\([^)]*\\)/g);
      if (rgba(style.backgroundColor)[3]) return [style.backgroundColor];
    }
    return ["white"];
  };
  const found = [];
  for (const node of document.querySelectorAll("main *, header *, footer *")) {
    const words = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!words || !node.checkVisibility() || node.closest(":disabled, .passed, .for-readers")) continue;
    const ink = light(node instanceof SVGElement ? getComputedStyle(node).fill : getComputedStyle(node).color);
    for (const color of behind(node)) {
      const [low, high] = [ink, light(color)].sort((a, b) => a - b);
      const contrast = (high + 0.05) / (low + 0.05);
      if (contrast < 4.5) found.push(`${node.textContent.trim().slice(0, 30)}: ${contrast.toFixed(2)}`);
    }
  }
  return [...new Set(found)];
})()
"""
# What can be used but has no name for who cannot see it.
NAMELESS = """
[...document.querySelectorAll("button, a, input, select, textarea, [role=img]")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.labels?.length))
  .map((node) => node.outerHTML.slice(0, 80))
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with chromium.tab(tmp_path_factory.mktemp("profile")) as tab:
        tab.size(1440, 1000)
        tab.send("Page.addScriptToEvaluateOnNewDocument", source=SHIFTS)
        yield tab


@pytest.fixture
def begin(tmp_path, tab):
    """Return a function that opens the page of a service; nothing may be complained of, and nothing left it."""
    running = []

    def open_page(*algos, token=None, changed=lambda bundle: None):
        env = env_of(time_budget=30.0)  # short sessions
        bundles = [bundle_of(tmp_path / algo, env, algo) for algo in algos]
        for bundle in bundles:
            changed(bundle)
        folder = service_of(tmp_path, *bundles)
        service = Service(folder, folder.config())
        running.append((Running(service, service.config.serving, token, make_app), service))
        running[-1][0].__enter__()
        tab.complaints.clear()
        tab.asked.clear()
        tab.send("Page.navigate", url=running[-1][0].url)
        tab.until("document.readyState === 'complete' && typeof start === 'function'")
        return running[-1]

    yield open_page
    for server, service in running:
        assert tab.complaints == []
        own = (server.url, "data:")
        assert tab.asked and all(address.startswith(own) for address in tab.asked)
        tab.send("Page.navigate", url="about:blank")
        server.__exit__()
        service.close()


def steps(tab):
    return tab.run("Number($('session-steps').textContent)")


def shown(tab):
    return tab.until("document.querySelectorAll('#slate .doc:not(:disabled)').length")


def test_a_user_is_served_step_by_step(begin, tab):
    _, service = begin("random", "myopic")
    assert shown(tab) == 2 and steps(tab) == 0
    tab.run("$('speed').value = '0'")
    tab.click("#step")
    tab.until("session.acts.length === 1 && !session.busy")
    assert "Step 1: the user clicked" in tab.run("$('news').textContent")
    shown(tab)
    tab.click("#slate .doc:nth-child(2)")  # by hand
    tab.until("session.acts.length === 2 && !session.busy")
    assert tab.run("session.acts[1].click === 1 && session.acts[1].was === 1")
    shown(tab)
    tab.run("document.querySelector('#slate .doc').focus()")
    tab.press("Enter", 13)  # by keyboard; the focus stays on the slate
    tab.until("session.acts.length === 3 && !session.busy")
    assert tab.run("session.acts[2].was === 0 && document.activeElement.closest('#slate') !== null")
    tab.click("#no-click")
    tab.until("session.acts.length === 4 && !session.busy")
    assert tab.run("session.acts[3].was") == -1
    tab.click("#play")
    assert tab.until("$('play').textContent === 'Pause' && $('play').ariaPressed === 'true'")
    tab.until("state.process.decided >= 24", 60)
    tab.click("#play")
    tab.until("!playing && !session.busy")
    assert service.statistics.snapshot()["decided"] >= 24
    assert service.statistics.snapshot()["rewarded"] >= 24
    assert tab.run("$('session-return').textContent === number(session.moment.total)")
    assert tab.run("window.shift") < 0.02
    assert tab.run(NAMELESS) == []


def test_a_session_to_its_end_and_another(begin, tab):
    begin("random")
    shown(tab)
    tab.run("$('speed').value = '0'; play(); 0")
    tab.until("ended.length >= 1", 60)
    tab.run("stop(); 0")
    tab.until("!session.busy")
    assert tab.run("document.querySelectorAll('#sessions li:not(.empty)').length") >= 1
    tab.click("#new-user")
    tab.until("!session.busy && session.acts.length === 0")
    assert steps(tab) == 0 and "new user" in tab.run("$('news').textContent")


def test_the_kill_switch(begin, tab):
    _, service = begin("random", "myopic")
    shown(tab)
    assert tab.run("$('kill').ariaPressed") == "false"
    tab.click("#kill")
    tab.until("$('kill').ariaPressed === 'true'")
    assert [policy.share for policy in service.policies().policies] == [1.0, 0.0]
    assert tab.until("document.querySelector('#policies tr:nth-child(1) .share').textContent.startsWith('100')")
    tab.click("#kill")
    tab.until("$('kill').ariaPressed === 'false'")
    tab.click("#policies tr:nth-child(2) button")
    tab.until("document.querySelector('#policies tr:nth-child(2) button').textContent === 'Enable'")
    assert [policy.enabled for policy in service.policies().policies] == [True, False]


def test_the_token_is_asked_for_and_kept_in_memory_only(begin, tab):
    begin("random", token="s3cret-token")
    tab.until("$('login').open")
    for given in ("wrong", "s3cret-token"):
        tab.until("$('login').open && $('token').value === ''")
        tab.run(f"$('token').value = '{given}'; 0")
        tab.click("#login-form button")
    assert shown(tab) == 2 and not tab.run("$('login').open")
    assert tab.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    assert not any("s3cret" in address for address in tab.asked) and "s3cret" not in tab.run("document.body.innerHTML")
    unauthorized = [complaint for complaint in tab.complaints if "401" in complaint]
    assert len(unauthorized) == 2 == len(tab.complaints)  # the browser's own lines
    tab.complaints.clear()


@pytest.mark.parametrize("dark", [False, True])
def test_readable_at_every_width(begin, tab, dark):
    _, service = begin("random", "myopic")
    shown(tab)
    for chore in chores_of_each(service) * 2:
        chore.do()
    try:
        for width in (1600, 1080, 768, 390, 360):
            tab.size(width, 900, dark)
            time.sleep(0.1)
            assert not tab.run(NARROW), width
            if width in (1600, 390):
                assert tab.run(PALE) == []
    finally:
        tab.size(1440, 1000)


def test_a_problem_of_a_log_has_a_form(begin, tab):
    def without_simulator(bundle):
        manifest = bundle / "recsys.yaml"
        manifest.write_text(manifest.read_text().replace("recsys_cli.envs.interest_evolution", "gone.simulator"))

    begin("random", changed=without_simulator)
    tab.until("$('ask').checkVisibility() && $('ask-more').open && $('live').checkVisibility()")
    assert not tab.run("$('session').checkVisibility()")
    tab.click("#ask-form button[type=submit]")
    tab.until("$('ask-answer').textContent.includes('event_id')")
    tab.run("$('ask-body').value = '{'; 0")
    tab.click("#ask-form button[type=submit]")
    tab.until("$('ask-answer').textContent.startsWith('400: ')")
    tab.complaints[:] = [complaint for complaint in tab.complaints if "400" not in complaint]
