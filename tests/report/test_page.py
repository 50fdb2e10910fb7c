"""index.html: one file without a network, safe against names, and the evaluation's own boxes."""

from __future__ import annotations

import base64
import copy
import json
import re
import shutil

import browser
import cv2
import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait
from tiny import sharing

from spg.compare.paper import load_paper
from spg.compare.variants import grid
from spg.data.images.manifest import read_manifest
from spg.evaluate.metrics.boxes import box_iou
from spg.evaluate.metrics.maps import localization_map
from spg.evaluate.metrics.rules import largest_box
from spg.report.page import page_facts, render, script_json, write_page
from spg.report.page_data import gallery_data, picture, quantize
from spg.report.paper_tables import claims_table, paper_tables
from spg.report.render import to_html
from spg.report.run import read_run

NAME = "synthetic_birds"
EVIL = "<script>alert('x')</script>\"&amp;ü"


def build(workspace, params):
    paper = load_paper(workspace.paper_file)
    manifest = read_manifest(workspace.packed(NAME) / "manifest.parquet")
    run = read_run(workspace.report(NAME), params, NAME, manifest, paper)
    tables = [claims_table(paper, run), *paper_tables(paper, run)]
    write_page(workspace, params, NAME, tables)
    return workspace.report(NAME) / "index.html"


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory):
    """The finished tiny project with a report folder of its own."""
    root = tmp_path_factory.mktemp("page")
    workspace = sharing(finished, root, "data", "weights", "runs", "maps", "eval", "paper.yaml")
    shutil.copytree(finished.root / "reports", root / "reports")
    return workspace


@pytest.fixture(scope="module")
def page(project, two_methods):
    return build(project, two_methods)


def gallery_of(html):
    text = re.search(r'id="gallery-data">(.*?)</script>', html, re.DOTALL)[1]
    return json.loads(text)


def test_two_builds_are_the_same_bytes(project, two_methods, page):
    first = page.read_bytes()
    assert build(project, two_methods).read_bytes() == first


def test_it_says_whose_numbers_are_reported_and_where_thresholds_are_from(page):
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert (
        "<em>reported</em>: the GT-known error on ILSVRC with the paper&#39;s own network, where "
        "it has a number; only the order of rows can be compared, not the level."
    ) in text
    assert "at the map threshold chosen on 6 images that no network was trained on;" in text
    assert "<em>fixed</em>: at 0.5;" in text
    assert "GraphCut: no threshold, but the image&#39;s colors too" in text
    assert "pseudo-boxes" not in text  # no row has any
    assert "The pictures cut maps as" not in text  # boxes are drawn by the same rule


def test_it_names_no_path_time_or_address(project, page):
    html = page.read_text(encoding="utf-8")
    assert str(project.root) not in html
    assert not re.search(r"https?://", html)
    assert not re.search(r"/(?:home|tmp|work|root)/", html)
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", html)
    assert len(html) < 400_000


def test_it_loads_nothing(page):
    html = page.read_text(encoding="utf-8")
    assert re.findall(r'\b(?:src|srcset)="(?!data:)[^"]*"', html) == []
    assert "<link" not in html
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_the_gallery_holds_every_test_image_and_variant(project, two_methods):
    data = gallery_data(project, NAME, grid(two_methods, NAME), "min_max")
    manifest = pd.read_parquet(project.packed(NAME) / "manifest.parquet")
    tests = manifest[manifest["split"] == "test"]
    ids = [image["id"] for image in data["images"]]
    assert set(ids) <= set(tests["image_id"])
    assert data["total"] == len(tests)
    assert [v["name"] for v in data["variants"]] == [
        "SPG-plain", "SPG-plain, Grad-CAM", "SPG-plain, Backprop", "SPG"
    ]  # fmt: skip
    for variant in data["variants"]:
        width, height = variant["mapSize"]
        assert len(base64.b64decode(variant["maps"])) == len(ids) * width * height
        assert len(variant["iou"]) == len(variant["outcome"]) == len(variant["guess"]) == len(ids)
        assert len(variant["thresholds"]) == len(ids)
    for image in data["images"]:
        encoded = np.frombuffer(base64.b64decode(image["src"].split(",")[1]), dtype=np.uint8)
        assert cv2.imdecode(encoded, cv2.IMREAD_COLOR).shape[1::-1] == tuple(image["size"])
        (row,) = tests[tests["image_id"] == image["id"]].to_dict("records")
        scale = np.array([row["width"], row["height"]] * 2)
        assert np.allclose(np.array(image["boxes"]) * scale, row["boxes"].tolist(), atol=0.01)


def test_maps_are_quantized_between_their_extremes():
    assert quantize(np.array([[-1.0, 0.0], [1.0, 3.0]])).tolist() == [[0, 64], [128, 255]]
    assert not quantize(np.full((2, 3), 7.0)).any()
    assert not quantize(np.array([[np.nan, 1.0]])).any()
    assert quantize(np.random.default_rng(0).random((96, 48))).shape == (64, 32)


def test_pictures_are_small_and_keep_the_aspect():
    source, size = picture(np.zeros((300, 600, 3), dtype=np.uint8))
    assert size == (160, 80)
    assert source.startswith("data:image/jpeg;base64,")
    assert picture(np.zeros((30, 60, 3), dtype=np.uint8))[1] == (60, 30)


def hostile(project, params):
    """Facts and gallery of the project with a hostile name wherever names come from."""
    facts = page_facts(project, params, NAME)
    gallery = copy.deepcopy(gallery_data(project, NAME, grid(params, NAME), "min_max"))
    facts["dataset"] = facts["settings"] = EVIL
    facts["provenance"] = {EVIL: EVIL}
    facts["rows"][0]["name"] = EVIL
    for image in gallery["images"]:
        image["class"] = image["id"] = EVIL
    for variant in gallery["variants"]:
        variant["guess"] = [EVIL] * len(variant["guess"])
    paper = load_paper(project.paper_file)
    manifest = read_manifest(project.packed(NAME) / "manifest.parquet")
    run = read_run(project.report(NAME), params, NAME, manifest, paper)
    run.claims.loc[0, "text"] = EVIL
    return render(facts, gallery, [(EVIL, Markup(to_html(claims_table(paper, run))))])


def test_a_class_called_script_is_text(project, two_methods):
    html = hostile(project, two_methods)
    assert "<script>alert" not in html
    assert html.count("<script") == 2  # the data and our own
    assert "&lt;script&gt;alert" in html
    assert gallery_of(html)["images"][0]["class"] == EVIL


def test_json_in_a_script_cannot_end_it():
    value = {"a": "</script><!--", "b": ["&", "ü", " "]}
    text = script_json(value)
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


# ---- in a browser ----


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    reason = browser.missing()
    if reason:
        pytest.skip(reason)
    started = browser.start(tmp_path_factory.mktemp("profile"))
    yield started
    started.quit()


@pytest.fixture
def opened(driver, page):
    driver.set_window_size(1280, 1000)
    driver.get("about:blank")
    driver.get(page.as_uri())
    WebDriverWait(driver, 20).until(lambda d: d.find_elements(By.CSS_SELECTOR, "[data-box]"))
    return driver


def find(driver, selector):
    return driver.find_elements(By.CSS_SELECTOR, selector)


def test_it_opens_without_an_error_or_a_request(opened, page):
    assert opened.get_log("browser") == []
    requests = [
        message["params"]["request"]["url"]
        for entry in opened.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    own = ("data:", "about:", "chrome", "devtools:", page.as_uri())  # the page's and the browser's
    assert page.as_uri() in requests
    assert {url for url in requests if not url.startswith(own)} == set()


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_its_window(opened, width):
    opened.set_window_size(width, 900)
    inner, wide = opened.execute_script(
        "return [window.innerWidth, document.documentElement.scrollWidth]"
    )
    assert wide <= inner


def test_boxes_and_ious_are_the_evaluations_own(opened, page):
    """Python's map, rule and IoU on the page's own 8-bit maps and pictures, at many thresholds."""
    data = gallery_of(page.read_text(encoding="utf-8"))
    thresholds = [0.005, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95]
    seen = 0
    for at, variant in enumerate(data["variants"]):
        width, height = variant["mapSize"]
        maps = np.frombuffer(base64.b64decode(variant["maps"]), dtype=np.uint8)
        maps = maps.reshape(-1, height, width).astype(np.float32)
        for number, image in enumerate(data["images"]):
            loc_map = localization_map(maps[number], tuple(image["size"]))
            true = np.array(image["boxes"]) * np.array(image["size"] * 2)
            for threshold in thresholds:
                if np.abs(loc_map - threshold).min() < 1e-5:
                    continue  # the last bits of cv2's float32 decide
                got = opened.execute_script(
                    "const {box, iou} = look(data.variants[arguments[0]], arguments[1], "
                    "arguments[2]); return {box, iou}",
                    at, number, threshold,
                )  # fmt: skip
                want = largest_box(loc_map >= threshold)
                assert got["box"] == want.tolist()
                assert got["iou"] == pytest.approx(box_iou(want[None], true).max(), abs=1e-6)
                seen += 1
    assert seen > 100


def test_the_rule_holds_on_random_masks_with_holes_and_ties(opened):
    rng = np.random.default_rng(0)
    for density in (0.1, 0.3, 0.5, 0.6, 0.7, 0.9):
        for _ in range(25):
            mask = rng.random((7, 9)) < density
            got = opened.execute_script(
                "return largestBox(Float64Array.from(arguments[0]), [9, 7], 0.5)",
                mask.astype(float).ravel().tolist(),
            )
            assert got == largest_box(mask).tolist(), mask.astype(int)


def test_the_right_side_begins_with_spg_whatever_its_backbone(opened):
    data = opened.execute_script("return data.variants.map((variant) => variant.method)")
    assert Select(find(opened, "#beside")[0]).all_selected_options[0].get_attribute("value") == str(
        data.index("spg")
    )


def test_the_slider_moves_the_box(opened):
    slider = find(opened, "#threshold")[0]
    first = find(opened, "[data-box]")[0]
    boxes = []
    for key in (Keys.HOME, Keys.END):
        slider.send_keys(key)
        boxes.append([float(edge) for edge in first.get_attribute("data-box").split()])
    whole, small = [(b[2] - b[0]) * (b[3] - b[1]) for b in boxes]
    assert whole > 4 * small
    assert "threshold=0.995" in opened.current_url
    assert opened.get_log("browser") == []
    find(opened, "#reset")[0].click()
    threshold = opened.execute_script("return data.variants[0].thresholds[0]")
    assert float(slider.get_attribute("value")) == pytest.approx(threshold, abs=0.003)


def test_filters_show_what_matches_and_say_when_nothing_does(opened, page):
    data = gallery_of(page.read_text(encoding="utf-8"))
    variant = data["variants"][-1]
    shown = len(find(opened, "#images li"))  # images, of which each has two pictures
    assert len(find(opened, "#images [data-box]")) == 2 * shown
    assert find(opened, "#count")[0].text.endswith(f"; {shown} shown.")
    Select(find(opened, "#variant")[0]).select_by_visible_text(variant["name"])
    name = variant["outcome"][0]
    Select(find(opened, "#outcome")[0]).select_by_value(name)
    want = {n for n, outcome in enumerate(variant["outcome"]) if outcome == name}
    assert {int(li.get_attribute("data-number")) for li in find(opened, "#images li")} == want
    Select(find(opened, "#outcome")[0]).select_by_value("")
    label = data["images"][0]["class"]
    Select(find(opened, "#class")[0]).select_by_value(label)
    want = {n for n, image in enumerate(data["images"]) if image["class"] == label}
    assert {int(li.get_attribute("data-number")) for li in find(opened, "#images li")} == want
    assert find(opened, "#count")[0].text.startswith(f"{len(want)} of the")
    high = find(opened, "#high")[0]
    high.clear()
    high.send_keys(Keys.TAB)
    assert high.get_attribute("value") == ""  # filters nothing
    assert {int(li.get_attribute("data-number")) for li in find(opened, "#images li")} == want
    high.send_keys("1", Keys.TAB)
    for number in want:
        assert data["images"][number]["id"] in find(opened, f"[data-number='{number}']")[0].text
    low = find(opened, "#low")[0]
    low.clear()
    low.send_keys("1", Keys.TAB)
    high.clear()
    high.send_keys("0.9", Keys.TAB)
    assert find(opened, "#images li") == []
    assert "No image matches" in find(opened, "#count")[0].text
    opened.refresh()  # the address keeps the view
    assert Select(find(opened, "#class")[0]).first_selected_option.text == label


def test_the_table_sorts_by_key_and_filters(opened):
    Select(find(opened, "#kind")[0]).select_by_value("")
    head = find(opened, "#table thead button")[3]
    orders = []
    for want in ("ascending", "descending"):
        head.send_keys(Keys.ENTER)
        assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == want
        cells = find(opened, "#table tbody tr td:nth-child(4)")
        orders.append([float(cell.get_attribute("data-value")) for cell in cells])
    assert orders[0] == sorted(orders[0])
    assert orders[1] == sorted(orders[0], reverse=True)
    Select(find(opened, "#kind")[0]).select_by_value("fixed")
    kinds = {
        r.get_attribute("data-kind") for r in find(opened, "#table tbody tr") if r.is_displayed()
    }
    assert kinds == {"fixed", "none"}


def test_every_control_has_a_name_of_its_own(opened):
    named = opened.execute_script(
        "return [...document.querySelectorAll('input, select')].map((control) => "
        "[...control.labels].map((label) => label.control === control))"
    )
    assert named
    assert all(labels and all(labels) for labels in named)


def test_every_control_is_reached_by_keyboard(opened):
    wanted = {"theme", "kind", "variant", "outcome", "class", "low", "high", "threshold", "heat"}
    reached = set()
    body = find(opened, "body")[0]
    body.send_keys(Keys.TAB)
    for _ in range(80):
        reached.add(opened.switch_to.active_element.get_attribute("id"))
        opened.switch_to.active_element.send_keys(Keys.TAB)
    assert wanted <= reached


def test_light_and_dark_differ_and_the_button_says_which(opened):
    button = find(opened, "#theme")[0]
    color = "return getComputedStyle(document.body).backgroundColor"
    before, pressed = opened.execute_script(color), button.get_attribute("aria-pressed")
    button.click()
    assert opened.execute_script(color) != before
    assert button.get_attribute("aria-pressed") != pressed


def test_hostile_names_run_nothing(driver, project, two_methods, tmp_path):
    path = tmp_path / "hostile.html"
    path.write_text(hostile(project, two_methods), encoding="utf-8")
    driver.get_log("browser")
    driver.get(path.as_uri())
    WebDriverWait(driver, 20).until(lambda d: find(d, "[data-box]"))
    assert EVIL in find(driver, "h1")[0].text
    assert EVIL in find(driver, "#images li")[0].text
    assert driver.get_log("browser") == []
