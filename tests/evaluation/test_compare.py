"""The page of ``fsrcnn-rt compare`` as a file; ``test_compare_page.py`` looks at it in a browser."""

import base64
import html
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from fsrcnn_rt import cli
from fsrcnn_rt.engine.upscaler import Upscaler
from fsrcnn_rt.evaluation import metrics
from fsrcnn_rt.evaluation import page as compare
from PIL import Image, ImageCms


@pytest.fixture
def run(model_file, capsys, folder):
    """Call the command with the small model; gives exit code and the lines on stdout and stderr."""

    def call(*arguments):
        code = cli.main(["compare", "-m", str(model_file), *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return call


def samples(width, height, channels=3, seed=0, dtype=np.uint8):
    """Smooth noise: what is enlarged looks like the original."""
    shape = (height // 3 + 2, width // 3 + 2, channels)
    rough = np.random.default_rng(seed).random(shape)
    large = np.stack([metrics.imresize(rough[..., i], 3) for i in range(channels)], axis=-1)
    array = (np.clip(large[:height, :width], 0, 1) * np.iinfo(dtype).max).astype(dtype)
    return array[..., 0] if channels == 1 else array


def picture(path, width=20, height=16, channels=3, seed=0, **options):
    image = Image.fromarray(samples(width, height, channels, seed))
    image.save(path, **options)
    return image


class Page(HTMLParser):
    """What a page holds: its pictures, figure by figure, and its texts."""

    def __init__(self, path):
        super().__init__()
        self.figures, self.texts, self.tags, self.stages = [], [], [], []
        self.size = path.stat().st_size
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append((tag, values))
        if tag == "figure":
            self.figures.append({})
        if tag == "div" and "data-width" in values:
            self.stages.append(values)
        if tag == "img":
            kind, data = values["src"].split(",")
            assert kind == "data:image/png;base64"
            self.figures[-1][values["alt"]] = (values, base64.b64decode(data))

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data.strip())

    def image(self, name, figure=0):
        return Image.open(io.BytesIO(self.figures[figure][name][1]))

    def array(self, name, figure=0):
        return np.asarray(self.image(name, figure))

    def label(self, name, figure=0):
        return self.figures[figure][name][0]["data-label"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_picture(run, folder, model):
    small = picture("photo.png")
    code, out, err = run("photo.png", "-o", "page.html")
    assert (code, err) == (0, [])
    assert len(out) == 1
    assert re.fullmatch(r"page\.html: 1 picture, 0\.0 MB", out[0])
    assert names(folder) == ["page.html", "photo.png"]
    page = Page(folder / "page.html")
    assert list(page.figures[0]) == ["input", "bicubic", "random"]
    np.testing.assert_array_equal(page.array("input"), np.asarray(small))
    np.testing.assert_array_equal(page.array("random"), Upscaler(model).upscale(np.asarray(small), 3))
    exact = np.stack([metrics.imresize(channel, 3) for channel in np.moveaxis(np.asarray(small), -1, 0)], -1)
    np.testing.assert_array_equal(page.array("bicubic"), np.clip(np.floor(exact + 0.5), 0, 255))
    assert page.stages == [{"class": "stage", "data-width": "60", "data-height": "48"}]
    assert {values["width"] + values["height"] for values, _ in page.figures[0].values()} == {"6048"}
    sides = {name: values["data-side"] for name, (values, _) in page.figures[0].items()}
    assert sides == {"input": "", "bicubic": "left", "random": "right"}
    assert "photo.png" in page.texts
    assert any(re.fullmatch(r"20×16 → 60×48 · random in \d+\.\d ms", text) for text in page.texts)
    assert "Bicubic and random ×3" in page.texts
    assert not any("dB" in text for text in page.texts)  # nothing to measure against


@pytest.mark.parametrize("scale", [2, 4])
def test_scales(run, folder, scale):
    picture("a.png")
    assert run("a.png", "-s", scale, "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    assert page.image("random").size == page.image("bicubic").size == (20 * scale, 16 * scale)


def figures(page, name, scale, figure=0):
    """PSNR and SSIM as the label and the table have to tell them."""
    one, other = (metrics.rgb_to_y(page.array(which, figure)) for which in (name, "ground truth"))
    return (
        f"{metrics.psnr(one, other, shave=scale):.2f} dB",
        f"{metrics.ssim(one, other, shave=scale):.4f}",
    )


def test_figures_are_those_of_the_pictures_shown(run, folder):
    picture("a.png", 60, 51)
    assert run("a.png", "--downscale", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    assert list(page.figures[0]) == ["input", "bicubic", "random", "ground truth"]
    rows = page.texts[page.texts.index("SSIM") + 1 :]
    psnr, ssim = figures(page, "bicubic", 3)
    assert page.label("bicubic") == f"bicubic {psnr}"
    assert rows[:3] == ["bicubic", psnr, ssim]
    psnr_, ssim = figures(page, "random", 3)
    assert page.label("random") == f"random {psnr_}"
    assert rows[3:5] == ["random", psnr_]
    assert float(rows[5].split()[0]) == pytest.approx(
        float(psnr_.split()[0]) - float(psnr.split()[0]), abs=0.011
    )
    assert rows[6] == ssim
    assert page.label("ground truth") == "ground truth"


def test_downscale_makes_the_input(run, folder, model):
    given = picture("a.png", 61, 50)
    assert run("a.png", "--downscale", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    truth = np.asarray(given)[:48, :60]
    np.testing.assert_array_equal(page.array("ground truth"), truth)
    exact = np.stack([metrics.imresize(truth[..., i], 1 / 3) for i in range(3)], -1)
    small = np.clip(np.floor(exact + 0.5), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(page.array("input"), small)
    np.testing.assert_array_equal(page.array("random"), Upscaler(model).upscale(small, 3))


def test_several_pictures_with_a_folder_of_truths(run, folder):
    (folder / "truth").mkdir()
    for i, name in enumerate(("one", "two")):
        picture(f"{name}.png", 20 + i, 16, seed=i)
        picture(
            f"truth/{name}.bmp", 62 + 3 * i, 50 - 2 * i, seed=i
        )  # up to two pixels more, which are cut off
    assert run("two.png", "one.png", "--hr", "truth", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    assert [figure["random"][0]["width"] for figure in page.figures] == ["63", "60"]
    truth = np.asarray(Image.open("truth/two.bmp"))
    np.testing.assert_array_equal(page.array("ground truth", 0), truth[:48, :63])
    mean = [
        np.mean([float(page.label(name, i).split()[-2]) for i in range(2)]) for name in ("bicubic", "random")
    ]
    rows = page.texts[page.texts.index("Mean of 2 pictures") :]
    assert float(rows[rows.index("bicubic") + 1].split()[0]) == pytest.approx(mean[0], abs=0.011)
    assert float(rows[rows.index("random") + 1].split()[0]) == pytest.approx(mean[1], abs=0.011)


def test_a_folder_of_pictures(run, folder):
    (folder / "in").mkdir()
    for name in ("b.png", "a.jpg"):
        picture(f"in/{name}")
    (folder / "in" / "text.txt").write_text("text")
    code, out, _ = run("in", "-o", "page.html")
    assert code == 0
    assert out[0].startswith("page.html: 2 pictures, ")
    page = Page(folder / "page.html")
    assert [text for text in page.texts if text in ("a.jpg", "b.png")] == ["a.jpg", "b.png"]


def test_one_picture_with_its_truth(run, folder):
    picture("a.png", 20, 16)
    truth = picture("other name.png", 60, 48)
    assert run("a.png", "--hr", "other name.png", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    np.testing.assert_array_equal(page.array("ground truth"), np.asarray(truth))


@pytest.mark.parametrize(
    ("crop", "left", "top"), [("12x8+5+3", 5, 3), ("12x8", 4, 4), ("20x16", 0, 0), ("12x8+0+0", 0, 0)]
)
def test_crop(run, folder, crop, left, top):
    small, truth = picture("a.png", 20, 16), picture("hr.png", 61, 50)
    assert run("a.png", "--hr", "hr.png", "--crop", crop, "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    width, height = map(int, crop.split("+")[0].split("x"))
    part = np.asarray(small)[top : top + height, left : left + width]
    np.testing.assert_array_equal(page.array("input"), part)
    part = np.asarray(truth)[3 * top : 3 * (top + height), 3 * left : 3 * (left + width)]
    np.testing.assert_array_equal(page.array("ground truth"), part)


def test_alpha(run, folder, model):
    array = samples(20, 16, 4)
    array[:, 10:, 3] = 0
    Image.fromarray(array).save("a.png")
    assert run("a.png", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    assert page.stages[0]["class"] == "stage alpha"
    assert page.image("bicubic").mode == page.image("random").mode == "RGBA"
    np.testing.assert_array_equal(page.array("random"), Upscaler(model).upscale(array, 3))
    visible = array[:, :10].astype(float)
    array[:, 10:, :3] = 255  # what nobody sees is no part of what is
    Image.fromarray(array).save("b.png")
    assert run("b.png", "-o", "other.html")[0] == 0
    other = Page(folder / "other.html").array("bicubic")
    np.testing.assert_array_equal(page.array("bicubic")[other[..., 3] > 0], other[other[..., 3] > 0])
    assert abs(other[4:-4, :28, 0].mean() - visible[..., 0].mean()) < 15


def test_a_shape_of_one_colour_is_made_smaller_without_a_fringe(run, folder):
    """However far the filter reaches beyond its edge."""
    truth = np.full((64, 64, 4), 200, np.uint8)
    truth[:, 30:] = 0
    Image.fromarray(truth).save("hr.png")
    assert run("hr.png", "--downscale", "-s", "4", "-o", "page.html")[0] == 0
    small = Page(folder / "page.html").array("input")
    seen = small[..., 3] > 0
    assert 7 * 16 < seen.sum() < 16 * 16
    assert np.all(small[seen][:, :3] == 200)


def test_what_nobody_sees_is_no_part_of_what_is_made_smaller(run, folder):
    truth = samples(60, 48, 4, seed=3)
    truth[:, 30:, 3] = 0
    pages = []
    for hidden in (0, 255):
        truth[:, 30:, :3] = hidden
        Image.fromarray(truth).save("hr.png")
        assert run("hr.png", "--downscale", "--overwrite", "-o", "page.html")[0] == 0
        pages.append(Page(folder / "page.html"))
    assert pages[0].label("random") == pages[1].label("random")
    for name in ("bicubic", "random"):
        one, other = (page.array(name) for page in pages)
        seen = one[..., 3] > 0
        np.testing.assert_array_equal(one[seen], other[seen])


def test_figures_of_alpha_are_over_white(run, folder):
    truth = samples(60, 48, 4, seed=3)
    truth[:, 30:, 3] = 0
    Image.fromarray(truth).save("hr.png")
    assert run("hr.png", "--downscale", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    lumas = []
    for name in ("random", "ground truth"):
        white = Image.new("RGBA", (60, 48), "white")
        lumas.append(
            metrics.rgb_to_y(np.asarray(Image.alpha_composite(white, page.image(name)).convert("RGB")))
        )
    told = float(page.label("random").split()[-2])
    assert told == pytest.approx(metrics.psnr(*lumas, shave=3), abs=0.1)  # Pillow rounds in its own way


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_shown_in_eight(run, folder, model, channels):
    array = samples(20, 16, channels, dtype=np.uint16)
    if channels == 1:
        Image.fromarray(array).save("a.png")
    else:
        tifffile = pytest.importorskip("tifffile", reason="16-bit colour needs the extra deep")
        pytest.importorskip("imagecodecs", reason="16-bit colour needs the extra deep")
        tifffile.imwrite("a.tiff", array, photometric="rgb")
    name = "a.png" if channels == 1 else "a.tiff"
    assert run(name, "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    deep = Upscaler(model).upscale(array, 3)
    np.testing.assert_array_equal(page.array("random"), np.floor(deep / 257 + 0.5))
    planes = [array] if channels == 1 else np.moveaxis(array, -1, 0)
    exact = [np.floor(metrics.imresize(plane, 3) / 257 + 0.5) for plane in planes]
    exact = exact[0] if channels == 1 else np.stack(exact, -1)
    np.testing.assert_array_equal(page.array("bicubic"), np.clip(exact, 0, 255))
    assert any("16 bits a channel, shown in 8" in text for text in page.texts)


def test_sixteen_bits_with_a_truth_of_eight(run, folder):
    truth = picture("hr.png", 60, 48, 1)
    small = metrics.imresize(np.asarray(truth), 1 / 3)
    Image.fromarray(np.clip(small * 257, 0, 65535).astype(np.uint16)).save("a.png")
    assert run("a.png", "--hr", "hr.png", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    told = float(page.label("bicubic").split()[-2])
    grey = [page.array(name) for name in ("bicubic", "ground truth")]  # grey is its own luma
    assert told == pytest.approx(metrics.psnr(*grey, shave=3), abs=0.006)
    assert told > 20


def test_floats(run, folder, model):
    array = samples(20, 16, 1).astype(np.float32) / 255
    array[0, 0] = 3.0
    Image.fromarray(array).save("a.tiff")
    assert run("a.tiff", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    expected = np.clip(np.floor(Upscaler(model).upscale(array, 3) * 255.0 + 0.5), 0, 255)
    np.testing.assert_array_equal(page.array("random"), expected)
    assert page.array("bicubic")[0, 0] == 255


def test_grey_beside_a_truth_in_colour(run, folder):
    truth = picture("hr.png", 60, 48, 1)
    truth.convert("RGB").save("hr.png")
    Image.fromarray(samples(20, 16, 1)).save("a.png")
    assert run("a.png", "--hr", "hr.png", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    grey = np.repeat(page.array("random")[..., None], 3, axis=2)
    lumas = metrics.rgb_to_y(grey), metrics.rgb_to_y(page.array("ground truth"))
    assert page.label("random") == f"random {metrics.psnr(*lumas, shave=3):.2f} dB"


def test_cmyk(run, folder):
    Image.fromarray(samples(20, 16)).convert("CMYK").save("a.jpg")
    assert run("a.jpg", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    assert {page.image(name).mode for name in page.figures[0]} == {"RGB"}


def test_colour_profile_is_kept(run, folder):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture("a.png", icc_profile=profile)
    assert run("a.png", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    assert [page.image(name).info["icc_profile"] for name in page.figures[0]] == [profile] * 3


def test_upright(run, folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture("a.jpg", 20, 16, exif=exif)
    assert run("a.jpg", "-o", "page.html")[0] == 0
    assert Page(folder / "page.html").image("random").size == (48, 60)


def test_of_an_animation_the_first_frame(run, folder):
    frames = [Image.fromarray(samples(20, 16, seed=i)) for i in range(3)]
    frames[0].save("a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert run("a.webp", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    np.testing.assert_array_equal(page.array("input"), np.asarray(frames[0]))
    assert any(text.endswith(" · the first of 3 frames") for text in page.texts)


@pytest.mark.parametrize(
    "name", ["<b>&\"'.png", "größe 写真 🐈.png", "{{figures}}{{title}}.png", "</title><img>.png"]
)
def test_names(run, folder, name):
    if "/" in name:
        name = name.replace("/", "∕")
    picture(name)
    assert run(name, "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    assert name in page.texts
    assert len(page.figures) == 1
    assert html.escape(name) in (folder / "page.html").read_text("utf-8")
    assert sum(tag in ("b", "img") for tag, _ in page.tags) == 3


def test_a_name_that_is_no_unicode(run, folder):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    picture(name)
    assert run(name, "-o", "page.html")[0] == 0
    assert "caf?.png" in Page(folder / "page.html").texts


def test_the_name_of_a_model(folder, model_file, tmp_path, capsys):
    from fsrcnn_rt.model import load, save_model

    net = load(model_file)
    save_model(
        type(net)(net.nodes, net.heads, net.padding, name='<i>"&', provenance=net.provenance),
        tmp_path / "m.safetensors",
    )
    picture("a.png", 60, 48)
    command = ["compare", "a.png", "--downscale", "-m", str(tmp_path / "m.safetensors"), "-o", "page.html"]
    assert cli.main(command) == 0
    page = Page(folder / "page.html")
    assert list(page.figures[0])[2] == '<i>"&'
    assert page.label('<i>"&').startswith('<i>"& ')
    assert "i" not in {tag for tag, _ in page.tags}


def test_nothing_from_elsewhere(run, folder):
    picture("a.png")
    assert run("a.png", "-o", "page.html")[0] == 0
    text = (folder / "page.html").read_text("utf-8")
    page = Page(folder / "page.html")
    assert "{{" not in text
    for _, values in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (values.get(name) or "data:").startswith("data:")
    addresses = set(re.findall(r"\w+://[^\s'\"]+", re.sub(r"base64,[^\"]*", "", text)))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # which is a name, and not fetched
    assert not re.search(r"@import|fetch\(|XMLHttpRequest|WebSocket|import\(", text)
    (policy,) = (v["content"] for tag, v in page.tags if tag == "meta" and "http-equiv" in v)
    assert policy.startswith("default-src 'none'")


def test_the_file_is_little_more_than_its_pictures(run, folder):
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (96, 120, 3), np.uint8)).save("a.png")
    assert run("a.png", "a.png", "-o", "page.html")[0] == 0
    page = Page(folder / "page.html")
    data = sum(len(data) for figure in page.figures for _, data in figure.values())
    assert data < page.size < 1.5 * data


def good(folder):
    picture("a.png", 60, 48)
    picture("b.png", 60, 48)
    (folder / "truths").mkdir()
    picture("truths/a.png", 180, 144)
    picture("truths/b.png", 179, 144)
    (folder / "there.html").write_bytes(b"precious")
    (folder / "text.png").write_text("text")
    (folder / "empty").mkdir()
    picture("tiny.png", 14, 14)
    picture("truths/c.png", 183, 144)
    (folder / "twice").mkdir()
    picture("twice/a.png")
    picture("twice/a.bmp")


FAULTS = {
    "no file": (["no.png"], 1, "compare: no.png: cannot be read: No such file or directory"),
    "no picture": (["text.png"], 1, "compare: text.png: is not a picture in a format that Pillow reads"),
    "the second": (["a.png", "text.png"], 1, "compare: text.png: is not a picture"),
    "no truth": (["a.png", "--hr", "no.png"], 1, "compare: no.png: cannot be read: No such file"),
    "truth too small": (
        ["b.png", "--hr", "truths/b.png"],
        1,
        "compare: truths/b.png: is 179x144, and the ground truth of b.png (60x48) at scale 3 is 180x144",
    ),
    "truth too large": (["a.png", "--hr", "truths/c.png"], 1, "compare: truths/c.png: is 183x144, and the"),
    "truth of another scale": (
        ["a.png", "--hr", "truths/a.png", "-s", "2"],
        1,
        "compare: truths/a.png: is 180x144",
    ),
    "truth of several": (
        ["a.png", "b.png", "--hr", "a.png"],
        2,
        "compare: --hr a.png: is no folder, and 2 pict",
    ),
    "its own truth": (
        ["a.png", "--hr", "a.png"],
        1,
        "compare: a.png: is 60x48, and the ground truth of a.png",
    ),
    "none of the name": (
        ["tiny.png", "--hr", "truths"],
        2,
        "compare: --hr truths: has no picture of the name tiny, the ground truth of tiny.png",
    ),
    "two of the name": (
        ["a.png", "--hr", "twice"],
        2,
        "compare: --hr twice: has a.bmp and a.png of the name a",
    ),
    "empty folder": (["empty"], 2, "compare: empty: no images in it"),
    "two truths": (
        ["a.png", "--hr", "a.png", "--downscale"],
        2,
        "compare: argument --downscale: not allowed with",
    ),
    "too small to measure": (
        ["tiny.png", "--downscale"],
        1,
        "compare: tiny.png: is too small for SSIM, which takes 17x17 pixels",
    ),
    "crop outside": (
        ["a.png", "--crop", "61x10"],
        1,
        "compare: a.png: --crop is not inside its 60x48 pixels",
    ),
    "crop beyond": (
        ["a.png", "--crop", "10x10+51+0"],
        1,
        "compare: a.png: --crop is not inside its 60x48 pix",
    ),
    "no crop": (["a.png", "--crop", "10"], 2, "compare: argument --crop: '10' is not a size such as 400x300"),
    "crop of nothing": (["a.png", "--crop", "0x10"], 2, "compare: argument --crop: '0x10' is not a size"),
    "scale": (["a.png", "-s", "5"], 2, "compare: scale=5 is not offered by model 'random', only 2, 3, 4"),
    "no scale": (["a.png", "-s", "big"], 2, "compare: argument -s/--scale: invalid int value: 'big'"),
    "model": (["a.png", "-m", "nope"], 2, "compare: model='nope' is neither a shipped model"),
    "threads": (["a.png", "-j", "0"], 2, "compare: threads=0 is not between 1 and 1024"),
    "no page": (["a.png", "-o", "page.png"], 2, "compare: page.png: '.png' is neither .html nor .htm"),
    "page there": (["a.png", "-o", "there.html"], 2, "compare: there.html: exists already (see --overwrite)"),
    "no folder": (["a.png", "-o", "no/page.html"], 2, "compare: no/page.html: the folder no does not exist"),
    "no input": ([], 2, "compare: the following arguments are required: INPUT"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_bad_input_is_one_line_before_any_work(run, folder, monkeypatch, arguments, code, message):
    good(folder)
    monkeypatch.setattr(Upscaler, "upscale", lambda *_: pytest.fail("it was upscaled"))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    output = [] if "-o" in arguments else ["-o", "page.html"]
    result, out, err = run(*arguments, *output)
    assert (result, out, len(err)) == (code, [], 1)
    assert re.sub(r"^fsrcnn-rt:? ", "", err[0]).startswith(message)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_overwrite(run, folder):
    picture("a.png")
    (folder / "page.html").write_bytes(b"precious")
    assert run("a.png", "-o", "page.html", "--overwrite")[0] == 0
    assert (folder / "page.html").read_bytes().startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (MemoryError(), 1), (OSError(28, "No space"), 1)]
)
def test_a_page_appears_whole_or_not_at_all(run, folder, monkeypatch, error, code):
    for name in ("a.png", "b.png"):
        picture(name)
    (folder / "page.html").write_bytes(b"precious")
    done = []

    def figure(*_):
        done.append(1)
        if len(done) == 2:
            raise error
        return "<figure></figure>"

    monkeypatch.setattr(compare, "_figure", figure)
    result, out, err = run("a.png", "b.png", "-o", "page.html", "--overwrite")
    assert (result, out, len(err), len(done)) == (code, [], 1, 2)
    assert names(folder) == ["a.png", "b.png", "page.html"]
    assert (folder / "page.html").read_bytes() == b"precious"
