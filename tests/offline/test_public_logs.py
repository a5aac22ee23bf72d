"""The shipped mappings of public logs, on rows made by hand in the published format."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np

from experiments.open_bandit.extract import extract
from recsys_cli.config.paths import conf_dir
from recsys_cli.offline.importing.log import import_log
from recsys_cli.offline.importing.mapping import load_mapping

EXPERIMENTS = conf_dir().parent / "experiments"
RATINGS = """userId,movieId,rating,timestamp
1,1,4.0,964982703
1,3,4.5,964982710
1,6,0.5,964989000
2,6,3.0,964982224
"""
MOVIES = """movieId,title,genres
1,Toy Story (1995),Adventure|Animation|Children
3,"Waiting to Exhale, or not (1995)",Comedy|Drama
6,Heat (1995),(no genres listed)
"""
KUAIRAND = """user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,\
long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab
0,3784,20220422,700,1650583203010,1,0,0,0,0,0,1,13210,10044,0,0,0,1,1
0,2013,20220422,700,1650583223010,0,0,0,0,0,0,0,1210,60044,0,0,0,1,4
7,3784,20220423,900,1650683203010,1,1,0,0,0,0,0,4000,10044,0,0,0,1,1
"""
VIDEOS = """video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,server_width,\
server_height,music_id,music_type,tag
3784,11,NORMAL,2022-04-01,ShortImport,1,10044,720,1280,5,9,39
2013,12,AD,2022-04-02,LongImport,1,60044,720,1280,6,4,"8,28"
"""
OPEN_BANDIT = """,timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user-item_affinity_0
0,2019-11-24 00:00:34.031591+00:00,1,2,0,0.5,81ce123cbb5bd8ce818f60fb3586bba5,03a5648a,0.0
1,2019-11-24 00:00:40.031591+00:00,0,1,1,0.5,cef3390ed299c09874189c387777674a,03a5648a,1.0
"""
CONTEXT = """,item_id,item_feature_0,item_feature_1
0,0,-0.49917162609493676,aed790911d0344f149be2fb9470d6f0a
1,1,-0.5437753679553131,31af389431e50a8fcd6470aeeb7951f8
"""


def test_movielens(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(RATINGS)
    (tmp_path / "movies.csv").write_text(MOVIES)
    mapping = load_mapping(EXPERIMENTS / "public_logs" / "movielens.yaml")
    dataset, report = import_log(mapping, [tmp_path / "ratings.csv"], tmp_path / "data")
    steps = dataset.load()
    assert steps.lengths.tolist() == [2, 1, 1] and steps.reward.tolist() == [4.0, 4.5, 0.5, 3.0]
    assert steps.truncated.tolist() == [False, True, True, True] and steps.log_propensity is None
    assert len(dataset.spec.documents) == 6 and not report.refused


def test_kuairand(tmp_path: Path) -> None:
    (tmp_path / "log_random_4_22_to_5_08_pure.csv").write_text(KUAIRAND)
    (tmp_path / "video_features_basic_pure.csv").write_text(VIDEOS)
    mapping = load_mapping(EXPERIMENTS / "public_logs" / "kuairand.yaml")
    dataset, _ = import_log(mapping, [tmp_path / "log_random_4_22_to_5_08_pure.csv"], tmp_path / "data")
    steps = dataset.load()
    assert steps.lengths.tolist() == [2, 1] and steps.clicked.tolist() == [0, 1, 0]
    assert steps.response["play_time_ms"][:, 0].tolist() == [13210, 1210, 4000]
    names = dataset.spec.documents.features.names
    assert names == (
        "video_type=AD",
        "video_type=NORMAL",
        "upload_type=LongImport",
        "upload_type=ShortImport",
        "video_duration",
    )


def test_open_bandit(tmp_path: Path) -> None:
    archive = tmp_path / "obp-0.4.1.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in {
            "obp/dataset/obd/random/men/men.csv": OPEN_BANDIT,
            "obp/dataset/obd/random/men/item_context.csv": CONTEXT,
            "LICENSE": "Apache",
            "obp/policy/conf/prior_bts.yaml": "men: {}",
            "setup.py": "",
        }.items():
            info = tarfile.TarInfo(f"obp-0.4.1/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    assert len(extract(archive, tmp_path)) == 4 and (tmp_path / "raw" / "LICENSE").is_file()
    log = tmp_path / "raw" / "random" / "men" / "men.csv"
    mapping = load_mapping(EXPERIMENTS / "open_bandit" / "mapping.yaml")
    dataset, report = import_log(mapping, [log], tmp_path / "data", beside=EXPERIMENTS / "open_bandit")
    steps = dataset.load()
    assert steps.user[:, 0].tolist() == [2, 1] and steps.reward.tolist() == [0, 1] and len(dataset.spec.user) == 4
    assert np.take_along_axis(steps.doc, steps.slate.astype(int), 1)[:, 0].tolist() == [1, 0]
    np.testing.assert_allclose(steps.log_propensity, np.log(0.5), rtol=1e-6)
    assert report.propensity_check is not None and report.propensity_check["kind"] == "ok"
