"""The page of ``fsrcnn-rt compare`` in a browser: what moves, what is seen, and that nothing is fetched."""

import base64
import io
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from fsrcnn_rt import cli
from PIL import Image

webdriver = pytest.importorskip("selenium.webdriver", reason="the page is tried by selenium")
if not (CHROMIUM := shutil.which("chromium")) or not (DRIVER := shutil.which("chromedriver")):
    pytest.skip("the page is tried in Chromium: no chromium, chromedriver", allow_module_level=True)

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402

SCALE = 3
SIZES = {"small.png": (130, 90), "wide.png": (450, 130), "alpha.png": (121, 80)}  # of the inputs
LONG_NAME = "a picture whose name " + "is longer than a phone is wide " * 3 + "_" * 60 + ".png"

# What lies on the pictures: the labels and the divider, with all that is painted around its line.
OVERLAYS = "return [...arguments[0].querySelectorAll('.label, .divider svg')].map(e => {" + (
    "const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]})"
)
GEOMETRY = """
const stage = arguments[0], box = stage.getBoundingClientRect(), style = getComputedStyle(stage);
const lengths = ["--x", "--y", "--w", "--h", "--split"].map(name => parseFloat(style.getPropertyValue(name)));
return [box.left, box.top, box.width, box.height, ...lengths];
"""


@pytest.fixture(scope="module")
def page(model_file, tmp_path_factory):
    """Three pictures with their ground truth: one fits, one does not, one has holes."""
    folder = tmp_path_factory.mktemp("page")
    random = np.random.default_rng(7)
    for place in ("in", "truth"):
        (folder / place).mkdir()
        for name, (width, height) in SIZES.items():
            factor = SCALE if place == "truth" else 1
            samples = random.integers(0, 256, (factor * height, factor * width, 3), np.uint8)
            if name == "alpha.png":
                alpha = np.zeros((factor * height, factor * width, 1), np.uint8)
                alpha[:, : factor * width // 2] = 255
                samples = np.concatenate([samples, alpha], axis=2)
            Image.fromarray(samples).save(folder / place / name)
    inputs = [str(folder / "in" / name) for name in SIZES]
    output = folder / "page.html"
    arguments = ["-m", str(model_file), "--hr", str(folder / "truth"), "-o", str(output)]
    assert cli.main(["compare", *inputs, *arguments]) == 0
    return output


@pytest.fixture(scope="module")
def layers(page):
    """For each figure its pictures by name, as they are in the page."""
    figures = []
    for figure in page.read_text("utf-8").split("<figure>")[1:]:
        found = re.findall(r'alt="([^"]*)"[^>]*src="data:image/png;base64,([^"]*)"', figure)
        images = {name: Image.open(io.BytesIO(base64.b64decode(data))) for name, data in found}
        assert list(images) == ["input", "bicubic", "random", "ground truth"]
        figures.append({name: np.asarray(image.convert("RGBA")) for name, image in images.items()})
    return figures


def start(profile, *switches, **logs):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        f"user-data-dir={profile}",
        *switches,
    ):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", **logs})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


class Browser:
    """A page, looked at: figures are told by their number."""

    def __init__(self, driver, layers, density=1):
        self.driver, self.layers, self.density = driver, layers, density

    def open(self, path, width=1280, height=1000, scheme="light", phone=False):
        call = self.driver.execute_cdp_cmd
        call("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        self.resize(width, height, phone)
        call("Emulation.setTouchEmulationEnabled", {"enabled": phone, "maxTouchPoints": 2})
        self.driver.get(path.as_uri())
        return self

    def resize(self, width, height, phone=False):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 0, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def find(self, number, selector):
        return self.all(f"figure:nth-of-type({number + 1}) {selector}")[0]

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def geometry(self, number):
        """Place of the stage in the window, of the picture and the divider on the stage, in CSS pixels."""
        names = ("left", "top", "width", "height", "x", "y", "w", "h", "split")
        values = self.run(GEOMETRY, self.find(number, ".stage"))
        return SimpleNamespace(**dict(zip(names, values, strict=True)))

    def show(self, number):
        """Scroll until the stage is where it can be seen whole."""
        self.run("arguments[0].scrollIntoView({block: 'center'})", self.find(number, ".stage"))

    def zoom(self, number, text):
        (button,) = [b for b in self.all(f"figure:nth-of-type({number + 1}) .zoom button") if b.text == text]
        self.run("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()

    def now(self, number):
        return int(self.find(number, ".divider").get_attribute("aria-valuenow"))

    def check(self, number, left="bicubic", right="random", pixels=1):
        """See pixel for pixel that the stage shows ``left`` and ``right`` of the divider.

        ``pixels`` of the screen show one of the picture. Gives how many were looked at on each side.
        """
        self.show(number)
        at, scale = self.geometry(number), self.density
        screen = np.asarray(Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB"))
        edge = lambda value: round(value * scale)  # noqa: E731
        top, start = edge(at.top), edge(at.left)
        seen = screen[top : edge(at.top + at.height), start : edge(at.left + at.width)]
        assert seen.shape[0] > 100, "the stage is not in the window"

        y, x = np.indices(seen.shape[:2])
        row, column = y + top - edge(at.top + at.y), x + start - edge(at.left + at.x)
        height, width = self.layers[number]["bicubic"].shape[:2]
        looked_at = (row >= 0) & (column >= 0) & (row < pixels * height) & (column < pixels * width)
        for box in self.run(OVERLAYS, self.find(number, ".stage")):
            x0, y0, x1, y1 = (edge(value) for value in box)
            around = 14 * scale  # shadow
            looked_at &= ~(
                (x + start >= x0 - around)
                & (x + start < x1 + around)
                & (y + top >= y0 - around)
                & (y + top < y1 + around)
            )
        split = edge(at.left + at.split) - start
        counts = []
        for name, side in ((left, x < split - 3 * scale), (right, x >= split + 3 * scale)):
            expected = self.layers[number][name]
            times = SCALE if name == "input" else 1
            i, j = (index[looked_at & side] // (pixels * times) for index in (row, column))
            opaque = expected[i, j, 3] == 255
            np.testing.assert_array_equal(
                seen[looked_at & side][opaque], expected[i, j, :3][opaque], f"{name} is not what is seen"
            )
            counts.append(int(opaque.sum()))
        return counts


@pytest.fixture
def browser(chromium, layers):
    """The browser; whatever a test does, it leaves no message on the console."""
    yield Browser(chromium, layers)
    assert chromium.get_log("browser") == []


def mouse(browser, number, points):
    """Press at the first of the points, given in parts of the stage, drag along the others, and let go."""
    browser.show(number)
    at = browser.geometry(number)
    places = [(round(at.left + at.width * x), round(at.top + at.height * y)) for x, y in points]
    chain = ActionChains(browser.driver, duration=20)
    chain.w3c_actions.pointer_action.move_to_location(*places[0])
    chain.w3c_actions.pointer_action.pointer_down()
    for place in places[1:]:
        chain.w3c_actions.pointer_action.move_to_location(*place)
    chain.w3c_actions.pointer_action.release()
    chain.perform()


def touch(browser, number, points):
    browser.show(number)
    at = browser.geometry(number)
    kinds = ["touchStart", *["touchMove"] * (len(points) - 1), "touchEnd"]
    for kind, point in zip(kinds, [*points, None], strict=True):
        place = (
            []
            if point is None
            else [{"x": at.left + at.width * point[0], "y": at.top + at.height * point[1]}]
        )
        browser.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": place})


def test_the_divider_by_mouse(browser, page):
    browser.open(page)
    assert browser.now(0) == 50
    left, right = browser.check(0)
    assert min(left, right) > 30000
    mouse(browser, 0, [(0.5, 0.5), (0.6, 0.5), (0.8, 0.6)])  # by its handle
    assert browser.now(0) == 80
    left, right = browser.check(0)
    assert left > 3 * right > 0
    mouse(browser, 0, [(0.25, 0.7)])  # a click elsewhere
    assert browser.now(0) == 25
    left, right = browser.check(0)
    assert right > 2 * left > 0


def test_the_divider_by_touch(browser, page):
    browser.open(page, phone=True)
    touch(browser, 0, [(0.5, 0.5), (0.45, 0.5), (0.4, 0.5), (0.3, 0.5)])
    assert browser.now(0) == 30
    left, right = browser.check(0)
    assert right > 1.5 * left > 0
    touch(browser, 0, [(0.75, 0.8)])  # a tap
    assert browser.now(0) == 75
    browser.check(0)


def test_a_finger_scrolls_the_page_over_a_picture_that_fits(browser, page):
    browser.open(page, 390, 844, phone=True)
    touch(browser, 0, [(0.2, 0.9 - step / 20) for step in range(15)])
    assert browser.run("return scrollY") > 100
    assert browser.now(0) == 50


def test_the_divider_by_keyboard(browser, page):
    browser.open(page)
    divider = browser.find(0, ".divider")
    assert divider.get_attribute("role") == "slider"
    assert divider.accessible_name == "Divider"
    for keys, value in (
        ([Keys.ARROW_RIGHT] * 3, 53),
        ([Keys.ARROW_LEFT] * 5, 48),
        ([Keys.PAGE_UP, Keys.ARROW_UP], 59),
        ([Keys.PAGE_DOWN, Keys.ARROW_DOWN], 48),
    ):
        divider.send_keys(*keys)
        assert browser.now(0) == value
        assert min(browser.check(0)) > 10000
    assert divider.get_attribute("aria-valuetext") == "48 % bicubic"
    divider.send_keys(Keys.HOME)
    assert browser.now(0) == 0
    assert browser.check(0)[0] == 0  # nothing but the right one is seen
    divider.send_keys(Keys.END)
    assert browser.now(0) == 100
    assert browser.check(0)[1] == 0
    divider.send_keys(Keys.ARROW_RIGHT)
    assert browser.now(0) == 100


def test_tab_reaches_the_divider(browser, page):
    browser.open(page)
    for _ in range(20):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        if browser.run("return document.activeElement.className") == "divider":
            break
    ActionChains(browser.driver).send_keys(Keys.ARROW_LEFT).perform()
    assert browser.now(0) == 49


def test_zoom_shows_real_pixels(browser, page):
    browser.open(page)
    assert browser.find(1, ".zoom button").text == "Fit 89 %"
    browser.zoom(1, "1:1")
    assert min(browser.check(1)) > 100000
    for text, pixels in (("2×", 2), ("4×", 4), ("8×", 8)):
        browser.zoom(1, text)
        assert min(browser.check(1, pixels=pixels)) > 100000
    divider = browser.find(1, ".divider")
    divider.send_keys("-")
    browser.check(1, pixels=4)
    divider.send_keys("+")
    browser.check(1, pixels=8)


@pytest.mark.parametrize("density", [1.25, 1.5, 2, 3])
def test_real_pixels_on_screens_of_other_densities(page, layers, density, tmp_path):
    driver = start(tmp_path / "profile", f"force-device-scale-factor={density}")
    try:
        browser = Browser(driver, layers, density).open(page)
        assert browser.run("return devicePixelRatio") == density
        browser.zoom(0, "Screen")
        assert min(browser.check(0)) > 8000
        if density == int(density):
            browser.zoom(0, "1:1")
            assert min(browser.check(0, pixels=density)) > 30000
    finally:
        driver.quit()


def test_a_picture_that_does_not_fit_is_panned(browser, page):
    browser.open(page)
    browser.zoom(1, "4×")
    middle = browser.geometry(1)
    assert middle.x + middle.w / 2 == pytest.approx(middle.width / 2, abs=1)  # the middle stays the middle
    mouse(browser, 1, [(0.2, 0.3), (0.3, 0.4), (0.3, 0.2)])
    moved = browser.geometry(1)
    assert moved.x - middle.x == pytest.approx(0.1 * middle.width, abs=2)
    assert moved.y - middle.y == pytest.approx(-0.1 * middle.height, abs=2)
    assert browser.now(1) == 50
    browser.check(1, pixels=4)

    browser.find(1, ".divider").send_keys(Keys.SHIFT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    after = browser.geometry(1)
    assert (after.x - moved.x, after.y - moved.y) == (-48, -96)
    browser.check(1, pixels=4)

    for _ in range(8):
        mouse(browser, 1, [(0.1, 0.1), (0.9, 0.9)])
    corner = browser.geometry(1)
    assert (corner.x, corner.y) == pytest.approx((0, 0), abs=0.5)  # and no farther
    browser.check(1, pixels=4)
    mouse(browser, 1, [(0.5, 0.5), (0.7, 0.5)])  # the divider is still there to be moved
    assert browser.now(1) == 70
    assert browser.geometry(1).x == corner.x


def test_panning_by_touch(browser, page):
    browser.open(page, 390, 844, phone=True)
    browser.zoom(1, "4×")
    before = browser.geometry(1)
    touch(browser, 1, [(0.3, 0.7), (0.35, 0.7), (0.5, 0.6), (0.8, 0.5)])
    after = browser.geometry(1)
    assert after.x - before.x == pytest.approx(0.5 * before.width, abs=2)
    assert after.y - before.y == pytest.approx(-0.2 * before.height, abs=2)
    browser.check(1, pixels=4)


def test_labels_choose_what_is_compared(browser, page):
    browser.open(page)
    left, right = (Select(browser.find(0, f".label.{side}")) for side in ("left", "right"))
    assert [option.text.split(" ")[0] for option in left.options] == ["input", "bicubic", "random", "ground"]
    assert re.fullmatch(r"bicubic \d+\.\d\d dB", left.first_selected_option.text)
    right.select_by_visible_text("ground truth")
    browser.check(0, "bicubic", "ground truth")
    left.select_by_visible_text("input")
    browser.check(0, "input", "ground truth")
    left.select_by_visible_text("ground truth")  # which is on the right: they change sides
    assert right.first_selected_option.text == "input"
    browser.check(0, "ground truth", "input")


def test_pictures_are_independent(browser, page):
    browser.open(page)
    browser.find(1, ".divider").send_keys(Keys.PAGE_UP)
    browser.zoom(1, "2×")
    Select(browser.find(1, ".label.right")).select_by_visible_text("ground truth")
    browser.check(1, "bicubic", "ground truth", pixels=2)
    assert [browser.now(number) for number in range(3)] == [50, 60, 50]
    browser.check(0)
    browser.check(2)


def test_after_the_window_has_changed(browser, page):
    browser.open(page)
    browser.resize(700, 600)
    browser.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    browser.check(0)
    assert browser.find(1, ".zoom button").text == "Fit 46 %"
    assert browser.run("return document.documentElement.scrollWidth") <= 700


def test_a_scroll_bar_takes_no_room_from_the_stage(browser, model_file, tmp_path):
    Image.new("RGB", (100, 60), "teal").save(tmp_path / "a.png")
    output = tmp_path / "page.html"
    assert cli.main(["compare", str(tmp_path / "a.png"), "-m", str(model_file), "-o", str(output)]) == 0
    browser.open(output)
    assert browser.run("return document.documentElement.scrollHeight") <= 1000
    browser.zoom(0, "8×")
    assert browser.run("return document.documentElement.scrollHeight") > 1000
    at, bar = (
        browser.geometry(0),
        browser.run(
            "const r = arguments[0].getBoundingClientRect(); return [r.left, r.right]",
            browser.find(0, ".bar"),
        ),
    )
    assert [at.left, at.left + at.width] == bar


def test_holes_show_a_checkerboard(browser, page):
    browser.open(page)
    browser.show(2)
    at = browser.geometry(2)
    screen = np.asarray(Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB"))
    x, y = round(at.left + at.x + 0.8 * at.w), round(at.top + 100)
    seen = {tuple(colour) for colour in screen[y : y + 60, x : x + 40].reshape(-1, 3).tolist()}
    assert seen == {(196, 196, 200), (255, 255, 255)}


def test_nothing_is_fetched(model_file, tmp_path):
    picture, page = tmp_path / "a.png", tmp_path / "page.html"
    Image.new("RGB", (40, 30), "teal").save(picture)
    assert cli.main(["compare", str(picture), "-m", str(model_file), "-o", str(page)]) == 0
    driver = start(tmp_path / "profile", performance="ALL")
    try:
        Browser(driver, []).open(page).find(0, ".divider").send_keys(Keys.ARROW_LEFT)
        messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        assert driver.get_log("browser") == []
    finally:
        driver.quit()
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    # The browser loads things for the page that it starts with, too.
    requests = [request["request"]["url"] for request in sent if request["documentURL"] == page.as_uri()]
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
    assert sum(url.startswith("data:image/png") for url in requests) == 3


def luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(colour) / 255]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(text, background):
    """Contrast ratio of WCAG; of a translucent background the lesser over black and over white."""
    ratios = []
    for behind in (0, 255):
        alpha = background[3]
        seen = [alpha * channel + (1 - alpha) * behind for channel in background[:3]]
        one, other = sorted([luminance(text[:3]), luminance(seen)])
        ratios.append((other + 0.05) / (one + 0.05))
    return min(ratios)


COLOURS = """
const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n };
const tags = "h1, h2, p, button, select, option, figcaption, th, td, footer, kbd";
return [...document.querySelectorAll(tags)].map(e => {
  let behind = e;
  while (parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  return [e.tagName, parse(getComputedStyle(e).color), parse(getComputedStyle(behind).backgroundColor)];
});
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(browser, page, scheme):
    browser.open(page, scheme=scheme)
    colours = browser.run(COLOURS)
    assert {"H1", "SELECT", "OPTION", "BUTTON", "TD", "FOOTER"} <= {tag for tag, *_ in colours}
    assert [(tag, text, behind) for tag, text, behind in colours if contrast(text, behind) < 4.5] == []
    body = browser.run("return getComputedStyle(document.body).backgroundColor")
    red = int(re.findall(r"\d+", body)[0])
    assert red > 200 if scheme == "light" else red < 50


@pytest.mark.parametrize(("width", "height"), [(1280, 1000), (390, 844)])
def test_labels_lie_on_the_picture_and_apart(browser, page, width, height):
    browser.open(page, width, height, phone=width < 400)
    for number in range(3):
        browser.show(number)
        at = browser.geometry(number)
        boxes = [box for box in browser.run(OVERLAYS, browser.find(number, ".stage"))]
        assert len(boxes) == 3
        for left, top, right, bottom in boxes:
            assert at.left <= left < right <= at.left + at.width
            assert at.top <= top < bottom <= at.top + at.height
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
        for i, one in enumerate(boxes):
            for other in boxes[:i]:
                apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
                assert apart, (number, one, other)
        for side, (left, top, right, bottom) in zip(("left", "right"), boxes[1:], strict=True):
            label = browser.find(number, f".label.{side}")
            assert label.is_displayed()
            script = "return document.elementFromPoint(...arguments)"
            assert browser.run(script, (left + right) / 2, (top + bottom) / 2) == label
            needed = browser.run("return arguments[0].scrollWidth - arguments[0].clientWidth", label)
            assert needed <= 0, "a label is cut off"


def test_a_label_is_hidden_with_its_picture(browser, page):
    browser.open(page)
    left, right = (browser.find(0, f".label.{side}") for side in ("left", "right"))
    browser.find(0, ".divider").send_keys(Keys.HOME)
    assert (left.is_displayed(), right.is_displayed()) == (False, True)
    browser.find(0, ".divider").send_keys(Keys.END)
    assert (left.is_displayed(), right.is_displayed()) == (True, False)


def test_a_phone_is_wide_enough(browser, page, model_file, tmp_path):
    Image.new("RGB", (400, 90), "teal").save(tmp_path / LONG_NAME)
    model = shutil.copy(model_file, tmp_path / "model.safetensors")
    output = tmp_path / "page.html"
    picture = tmp_path / LONG_NAME
    assert cli.main(["compare", str(picture), "--downscale", "-m", str(model), "-o", str(output)]) == 0
    for path in (page, output):
        browser.open(path, 390, 844, phone=True)
        assert browser.run("return innerWidth") == 390
        assert browser.run("return document.documentElement.scrollWidth") <= 390
        for element in browser.all("h1, h2, button, .stage, select, table, footer"):
            left, right = browser.run(
                "const r = arguments[0].getBoundingClientRect(); return [r.left, r.right]", element
            )
            assert left >= 0
            assert right <= 390, element.tag_name


def test_without_scripts_the_pictures_are_there(browser, page):
    call = browser.driver.execute_cdp_cmd
    call("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(page)
        assert sum(image.is_displayed() for image in browser.all("img")) == 12
    finally:
        call("Emulation.setScriptExecutionDisabled", {"value": False})
