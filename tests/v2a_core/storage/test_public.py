"""No password and no signature is written down."""

from __future__ import annotations

import pytest

from v2a_core import storage
from v2a_core.catalog import Source
from v2a_core.media.types import MediaError
from v2a_core.tables import rows

SIGNED = "https://b.s3.amazonaws.com/a%20b.mp4?X-Amz-Algorithm=AWS4&X-Amz-Credential=AKIA&X-Amz-Signature=5ec2e7"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (SIGNED, "https://b.s3.amazonaws.com/a%20b.mp4"),
        (
            "https://b.s3.amazonaws.com/v.mp4?AWSAccessKeyId=A&Signature=5ec2e7&Expires=1",
            "https://b.s3.amazonaws.com/v.mp4",
        ),
        (
            "https://a.blob.core.windows.net/c/v.mp4?se=1&sp=r&sv=2&sig=5ec2e7",
            "https://a.blob.core.windows.net/c/v.mp4",
        ),
        ("https://storage.googleapis.com/b/v.mp4?X-Goog-Signature=5ec2e7", "https://storage.googleapis.com/b/v.mp4"),
        ("https://d.cloudfront.net/v.mp4?Policy=5ec2e7&Key-Pair-Id=K", "https://d.cloudfront.net/v.mp4"),
        ("https://h/v.mp4?access_token=5ec2e7#t=3", "https://h/v.mp4#t=3"),
        ("https://h/shard.tar?token=5ec2e7#a/b.mp4", "https://h/shard.tar#a/b.mp4"),
        ("https://h/watch?v=3", "https://h/watch?v=3"),
        ("http://me:5ec2e7@h:8080/v.mp4", "http://h:8080/v.mp4"),
        ("http://me:5e@c2e7@h/x@y.mp4", "http://h/x@y.mp4"),
        ("https://5ec2e7@h/v.mp4", "https://h/v.mp4"),
        ("s3://AKIA:5e/c2+e7@bucket/v.mp4", "s3://bucket/v.mp4"),
        ("sftp://me:5ec2e7@h/v.mp4", "sftp://h/v.mp4"),
        ("http://h:8080/a@b.mp4", "http://h:8080/a@b.mp4"),
        ("abfs://container@account.dfs.core.windows.net/v.mp4", "abfs://container@account.dfs.core.windows.net/v.mp4"),
        ("s3://bucket/what?token=1.mp4", "s3://bucket/what?token=1.mp4"),
        ("zip://*.mp4::s3://bucket/a@b.zip", "zip://*.mp4::s3://bucket/a@b.zip"),
        ("/a/me:1@x/v.mp4?token=1", "/a/me:1@x/v.mp4?token=1"),
    ],
)
def test_a_public_uri_opens_nothing_by_itself(uri, shown):
    assert storage.public(uri) == shown
    assert storage.public(shown) == shown
    assert "5ec2e7" not in storage.public_text(f"row 3: {uri!r} failed: {uri}: no route, {uri}.")


def test_the_rest_of_a_message_stays():
    assert storage.public_text(f"no file {SIGNED}: 404, try later?") == (
        "no file https://b.s3.amazonaws.com/a%20b.mp4: 404, try later?"
    )
    assert storage.public_text("ConnectError(url='http://me:pw@h/v.mp4')") == "ConnectError(url='http://h/v.mp4')"


def test_rejected_rows_hold_no_secret():
    source = Source(SIGNED, "v.mp4", "video")
    row = rows.rejected_row(source, "id", MediaError("fetch", "OSError", f"{SIGNED}: reset by http://me:5ec2e7@proxy"))
    told = {name: value for name, value in row.items() if name != "source"}  # travels, is not written
    assert "5ec2e7" not in str(told)
    assert row["source_uri"] == "https://b.s3.amazonaws.com/a%20b.mp4"


def test_a_password_in_a_uri_is_refused_and_not_shown():
    for uri in ("s3://AKIA:5e/c2+e7@bucket/v.mp4", "ftp://me:5ec2e7@h/v.mp4"):
        with pytest.raises(ValueError, match="holds a password") as refused:
            storage.filesystem(uri)
        assert "e7" not in str(refused.value)
