"""The page in Chromium: pictures as the command line makes them, and no request once it is loaded."""

import json
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fsrcnn_rt import cli
from fsrcnn_rt.cli.web import make_server
from PIL import Image, PngImagePlugin

webdriver = pytest.importorskip("selenium.webdriver", reason="the page is tried by selenium")
if not (CHROMIUM := shutil.which("chromium")) or not (DRIVER := shutil.which("chromedriver")):
    pytest.skip("the page is tried in Chromium: no chromium, chromedriver", allow_module_level=True)
PAGE = Path(os.environ.get("FSRCNN_RT_PAGE", Path(__file__).parents[2] / "build" / "web"))
if not (PAGE / "fsrcnn.wasm").exists():
    pytest.skip(f"the page is made by web/build.sh: no {PAGE}", allow_module_level=True)

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402

WAIT = 120  # seconds, for machines that are busy


@pytest.fixture(scope="module")
def asked():
    """Paths that the server was asked for, by the page and by its workers."""
    return []


@pytest.fixture(scope="module")
def address(asked):
    server = make_server(PAGE, 0)
    server.RequestHandlerClass.log_request = lambda self, *_: asked.append(self.path)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(downloads, tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(f"--{switch}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def until(condition):
    end = time.monotonic() + WAIT
    while not (found := condition()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)
    return found


def requests(driver):
    """Addresses that were asked for since the last call, but for what is in the browser itself."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in urls if not url.startswith(("data:", "blob:"))]


class Page:
    def __init__(self, driver, address, downloads):
        self.driver, self.downloads = driver, downloads
        driver.get("about:blank")
        driver.get_log("performance")
        driver.get(address)
        until(lambda: driver.execute_script("return 'ready' in document.documentElement.dataset"))

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def settled(self):
        """Wait for the picture; gives what is said of it."""
        said = until(lambda: (text := self.find("#status").text).startswith("Done") and text)
        assert "error" not in self.find("#status").get_attribute("class")
        return said

    def choose(self, path, scale, model="auto"):
        self.driver.execute_script("document.querySelector('#status').textContent = ''")
        self.driver.execute_script(
            "document.querySelector('form').elements.scale.value = arguments[0]", scale
        )
        Select(self.find("select")).select_by_value(model)
        self.find("#file").send_keys(str(path))
        return self.settled()

    def save(self, name):
        self.find("#save").click()
        path = self.downloads / name
        until(path.exists)
        return path


@pytest.fixture
def page(driver, address, downloads, asked):
    page = Page(driver, address, downloads)
    assert all(url.startswith(address) for url in requests(driver))
    yield page
    page.driver.get("about:blank")
    asked.clear()


def made_by_command(path, scale, folder):
    output = folder / f"command_{path.stem}_x{scale}.png"
    assert cli.main([str(path), "-s", str(scale), "-o", str(output)]) == 0
    return output


def pictures(folder):
    """Files of every mode that a PNG has, with 8 bits and fewer."""
    random = np.random.default_rng(1)

    def noise(*shape):
        return random.integers(0, 256, shape, np.uint8)

    smooth = np.asarray(Image.fromarray(noise(9, 12, 3)).resize((61, 47), Image.Resampling.BICUBIC))
    holes = np.dstack([smooth, noise(47, 61)])
    holes[5:30, 20:50, 3] = 0
    drawn = np.zeros((47, 61), np.uint8)
    drawn[::5], drawn[:, 7:9] = 255, 80
    images = {
        "rgb": Image.fromarray(smooth),
        "rgba": Image.fromarray(holes),
        "grey": Image.fromarray(smooth[..., 1]),
        "grey-alpha": Image.fromarray(holes[..., [1, 3]]),
        "palette": Image.fromarray(smooth).quantize(40),
        "bits": Image.fromarray(drawn > 100),
        "drawn": Image.fromarray(drawn),
        "small": Image.fromarray(noise(1, 3, 3)),
    }
    for name, image in images.items():
        image.save(folder / f"{name}.png")
    images["rgb"].save(folder / "transparent.png", transparency=tuple(map(int, smooth[0, 0])))
    return [*images, "transparent"]


def test_pictures_are_those_of_the_command_line_and_nothing_is_asked_for(page, asked, tmp_path):
    assert {"/", "/fsrcnn.wasm", "/worker.js", "/core.js", "/weights/fsrcnn-graphics.safetensors"} <= set(
        asked
    )
    asked.clear()
    for i, name in enumerate(pictures(tmp_path)):
        path, scale = tmp_path / f"{name}.png", 2 + i % 3
        page.choose(path, str(scale))
        with (
            Image.open(page.save(f"{name}_x{scale}.png")) as ours,
            Image.open(made_by_command(path, scale, tmp_path)) as theirs,
        ):
            assert np.array_equal(np.asarray(ours.convert("RGBA")), np.asarray(theirs.convert("RGBA"))), name
    assert requests(page.driver) == asked == []


def test_a_large_picture_is_shared_out_among_workers_and_comes_back_whole(page, tmp_path):
    random = np.random.default_rng(2)
    samples = random.integers(0, 256, (420, 90, 4), np.uint8)
    samples[100:230, 20:70, 3] = 0
    path = tmp_path / "large.png"
    Image.fromarray(samples).save(path)
    page.choose(path, "2")
    with (
        Image.open(page.save("large_x2.png")) as ours,
        Image.open(made_by_command(path, 2, tmp_path)) as theirs,
    ):
        assert np.array_equal(np.asarray(ours), np.asarray(theirs))


def test_metadata_travels(page, tmp_path):
    exif, texts = Image.Exif(), PngImagePlugin.PngInfo()
    exif[0x010E] = "a description"
    texts.add_text("Author", "somebody")
    profile = bytes(range(256))  # of which nothing is read
    path = tmp_path / "described.png"
    image = Image.new("RGB", (20, 14), (200, 30, 90))
    image.save(path, exif=exif, pnginfo=texts, dpi=(300, 300), icc_profile=profile)
    page.choose(path, "2")
    with Image.open(page.save("described_x2.png")) as made:
        assert made.size == (40, 28) and made.text["Author"] == "somebody"
        assert made.getexif()[0x010E] == "a description"
        assert made.info["dpi"] == pytest.approx((300, 300), abs=0.01) and made.info["icc_profile"] == profile


def test_metadata_of_a_jpeg_travels_and_its_tables_choose_the_weights(page, tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6
    path = tmp_path / "photo.jpg"
    noise = np.random.default_rng(3).integers(0, 256, (40, 64, 3), np.uint8)
    Image.fromarray(noise).save(path, quality=60, exif=exif, icc_profile=b"a profile")
    page.choose(path, "2")
    assert "fsrcnn-denoise2" in page.find("figcaption").text
    with Image.open(page.save("photo_x2.png")) as made:
        assert made.size == (80, 128)  # upright
        found = made.getexif()
        assert found[0x010F] == "a camera" and found[0x0112] == 1
        assert made.info["icc_profile"] == b"a profile"


def test_keys_move_the_divider_and_choose_the_scale(page, tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (40, 30), (10, 200, 30)).save(path)
    page.choose(path, "3")
    divider = page.find(".divider")
    now = lambda: int(divider.get_attribute("aria-valuenow"))  # noqa: E731
    divider.send_keys(Keys.ARROW_LEFT * 3)
    assert now() == 47
    divider.send_keys(Keys.END)
    assert now() == 100
    divider.send_keys("2")
    until(lambda: "80×60" in page.find("figcaption").text)


def test_what_is_no_picture_is_told(page, tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    page.find("#file").send_keys(str(path))
    until(lambda: "error" in page.find("#status").get_attribute("class"))
    assert page.find("#status").text.startswith("the PNG has no header")


def test_the_page_may_ask_nobody_else(page):
    script = (
        "const [done] = arguments; fetch('http://127.0.0.1:9/').then(() => done('sent'), () => done('no'))"
    )
    assert page.driver.execute_async_script(script) == "no"
    assert "Content Security Policy" in str(page.driver.get_log("browser"))
    assert page.driver.execute_script("return self.crossOriginIsolated")


def test_a_video_is_played_frame_by_frame(page, asked, tmp_path):
    av = pytest.importorskip("av", reason="the video is made by PyAV")
    asked.clear()
    path = tmp_path / "moving.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(20):
            samples = np.full((64, 96, 3), 10 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(samples, "rgb24")))
        container.mux(stream.encode())
    page.find("#file").send_keys(str(path))
    until(lambda: "96×64 to 288×192 by fsrcnn-s" in page.find("figcaption").text)
    middle = (
        "return [...document.querySelector('canvas.after').getContext('2d').getImageData(144, 96, 1, 1).data]"
    )
    assert max(page.driver.execute_script(middle)[:3]) < 8  # the first frame
    page.find("#play").click()
    until(lambda: page.find("#status").text.endswith("frames per second"))
    until(lambda: min(page.driver.execute_script(middle)[:3]) > 60)
    page.find("#play").click()
    assert requests(page.driver) == asked == []
