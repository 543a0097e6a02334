"""Image folders and torchvision's CIFAR, from files made here."""

import functools
import hashlib
import io
import pickle
import tarfile
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from resnet_study.config import DataConfig
from resnet_study.data import load_images
from resnet_study.errors import DataError


def write_folder(root, sizes=((8, 8),), modes=("RGB",), classes=("cat", "dog")):
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 3)):
        for name in classes:
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                size = sizes[i % len(sizes)]
                pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
                image = Image.fromarray(pixels).convert(modes[i % len(modes)])
                image.save(folder / f"{i:04}.png")
    return root


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "photos")


def config(root, tmp_path, **options):
    return DataConfig(name="image_folder", root=str(root), cache=str(tmp_path / "c"), **options)


def test_folders_are_decoded_in_order(folder, tmp_path):
    images = load_images(config(folder, tmp_path))
    assert images.classes == ("cat", "dog")
    assert images.train_labels.tolist() == [0] * 6 + [1] * 6
    assert images.test_images.shape == (6, 3, 8, 8)
    with Image.open(folder / "train" / "dog" / "0002.png") as image:
        assert np.array_equal(images.train_images[8], np.asarray(image).transpose(2, 0, 1))


def test_the_cache_serves_the_second_time_and_notices_changes(folder, tmp_path, monkeypatch):
    first = load_images(config(folder, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *_: pytest.fail("decoded again"))
        assert load_images(config(folder, tmp_path)).fingerprint() == first.fingerprint()
    time.sleep(0.01)
    Image.new("RGB", (8, 8), "red").save(folder / "train" / "cat" / "0000.png")
    changed = load_images(config(folder, tmp_path))
    assert changed.train_images[0, :, 0, 0].tolist() == [255, 0, 0]


def test_grey_and_palette_images_become_rgb(tmp_path):
    root = write_folder(tmp_path / "photos", modes=("L", "P", "RGBA"))
    assert load_images(config(root, tmp_path)).train_images.shape == (12, 3, 8, 8)


def test_images_of_many_sizes_need_a_resolution(tmp_path):
    root = write_folder(tmp_path / "photos", sizes=((8, 8), (12, 10)))
    with pytest.raises(DataError, match=r"0001.png: is 12x10 where others are 8x8; allowed is"):
        load_images(config(root, tmp_path))
    assert load_images(config(root, tmp_path, resolution=8)).train_images.shape[2:] == (8, 8)
    with pytest.raises(DataError, match=r"data.resolution=9: .*0000.png is 8x8"):
        load_images(config(root, tmp_path, resolution=9))


def test_a_reduced_folder_equals_the_reduced_original(folder, tmp_path):
    whole = load_images(config(folder, tmp_path)).train_images
    half = load_images(config(folder, tmp_path, resolution=4)).train_images
    blocks = whole.reshape(12, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    assert np.abs(half - blocks).max() <= 0.5


def test_missing_and_inconsistent_folders_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"data.root=\S*nowhere: is not there; allowed is a"):
        load_images(config(tmp_path / "nowhere", tmp_path))
    (folder / "test" / "owl").mkdir()
    with pytest.raises(DataError, match="same class folders; only one of them has owl"):
        load_images(config(folder, tmp_path))
    (folder / "train" / "owl").mkdir()
    with pytest.raises(DataError, match=r"data.root=\S*train/owl: holds no images"):
        load_images(config(folder, tmp_path))


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "photos" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match=r"data.root=\S*train: has 0 class folders"):
        load_images(config(tmp_path / "photos", tmp_path))


def test_an_unreadable_image_is_named(folder, tmp_path):
    (folder / "train" / "dog" / "0003.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"train/dog/0003.png: cannot be read as an image"):
        load_images(config(folder, tmp_path))
    assert not list((tmp_path / "c").glob("*.npz"))


def test_a_truncated_image_is_named(folder, tmp_path):
    broken = folder / "test" / "cat" / "0001.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(DataError, match=r"test/cat/0001.png: cannot be read as an image"):
        load_images(config(folder, tmp_path))


def cifar_archive():
    """A CIFAR-10 archive of five training batches of 20 images and 20 test images."""
    rng = np.random.default_rng(0)
    stream = io.BytesIO()
    checksums = {}
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:

        def add(name, content):
            data = pickle.dumps(content)
            checksums[name] = hashlib.md5(data).hexdigest()
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))

        for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
            pixels = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
            add(name, {"data": pixels, "labels": [i % 10 for i in range(20)]})
        add("batches.meta", {"label_names": [f"class {i}" for i in range(10)]})
    return stream.getvalue(), checksums


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Torchvision's own loader, pointed at a local archive and its checksums."""
    from torchvision.datasets import CIFAR10

    content, checksums = cifar_archive()
    folder = tmp_path / "server"
    folder.mkdir()
    archive = folder / "cifar-10-python.tar.gz"
    archive.write_bytes(content)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/{archive.name}"
    monkeypatch.setattr(CIFAR10, "url", address)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(content).hexdigest())
    batches = [[f"data_batch_{i}", checksums[f"data_batch_{i}"]] for i in range(1, 6)]
    monkeypatch.setattr(CIFAR10, "train_list", batches)
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", checksums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": checksums["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    yield archive
    server.shutdown()
    server.server_close()


def test_cifar_is_downloaded_verified_and_read(stand_in, tmp_path):
    cifar = DataConfig(name="cifar10", root=str(tmp_path / "data"))
    images = load_images(cifar)
    assert images.train_images.shape == (100, 3, 32, 32)
    assert images.train_labels[:12].tolist() == [*range(10), 0, 1]
    assert images.test_images.shape == (20, 3, 32, 32)
    assert images.classes[3] == "class 3"
    stand_in.unlink()
    assert load_images(cifar).fingerprint() == images.fingerprint()


def test_a_wrong_checksum_is_refused(stand_in, tmp_path):
    stand_in.write_bytes(stand_in.read_bytes()[:-5] + b"wrong")
    with pytest.raises(DataError, match="cifar10 is not there and cannot be downloaded"):
        load_images(DataConfig(name="cifar10", root=str(tmp_path / "data")))


def test_cifar_that_cannot_be_fetched_is_one_line(tmp_path, stand_in):
    stand_in.unlink()
    with pytest.raises(DataError, match="or a connection to fetch it"):
        load_images(DataConfig(name="cifar10", root=str(tmp_path / "data")))
