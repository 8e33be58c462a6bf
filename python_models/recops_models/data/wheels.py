"""Data sets inside Python packages, with the SHA-256 of each file."""

from __future__ import annotations

from recops_models.data.cache import WheelFiles

ML_100K = WheelFiles(
    name="ml-100k",
    requirement="recbole==1.2.1",
    folder="recbole/dataset_example/ml-100k",
    sha256={
        "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
        "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
        "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
    },
)

OPEN_BANDIT = WheelFiles(
    name="open-bandit",
    requirement="obp==0.4.1",
    folder="obp/dataset/obd",
    sha256={
        "bts/all/all.csv": "0ad874e4dbf6902f0845dd478ad8dde5ef6903583d3ffaace78411bdad064106",
        "bts/men/men.csv": "db6d1f7ed2d591ba521533e45286d4c1fba7fe57a8ad2e80342210335f43c527",
        "bts/women/women.csv": "e5d1b49a39b608585a2f3014a3f54970430cd37a495c1b73fceb85cdf428a5b8",
        "random/all/all.csv": "7168295b6e0a9eabcf3392320a5dd434e542b68e705d5cd9491499af589812f1",
        "random/all/item_context.csv": (
            "eba04cc23d5f130a93ff174c5392986882b94c3839433cb8143870eaa6221358"
        ),
        "random/men/item_context.csv": (
            "6d855c2b7e917d0448d71bbe62c023147495882c0fdc8c41e86fef86abf9fe09"
        ),
        "random/men/men.csv": "ede6d08c6877f99cd3770f7d09e26c738e6aa6de4445ccccfb1356ba5d06b1eb",
        "random/women/item_context.csv": (
            "b1ca4905f97703d196004f2ad4552c1e90c2afad8b50688d333b0d2dc0b33147"
        ),
        "random/women/women.csv": (
            "e65f3bd3beb17664fa69cc129bf7bf852a775f8ffa630506e505fc905315bb34"
        ),
    },
)
