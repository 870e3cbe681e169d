"""A list that can be read only once, such as `<(psql ...)`, is imported as a file is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.cli.conftest import ACCOUNT, CAMPAIGN, Outbound


def test_a_pipe_is_read_as_a_file_and_its_rejected_rows_go_where_one_may_write(outbound: Outbound) -> None:
    outbound.write("vapi.toml", ACCOUNT)
    outbound.write("spring.toml", CAMPAIGN)
    outbound("accounts", "apply", "vapi.toml")
    outbound("campaign", "apply", "spring.toml")
    pipe = outbound.directory / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=Path.write_bytes, args=(pipe, b"phone,name\n2125550101,Ana\n12,Bo\n"))
    writer.start()
    ran = outbound("prospects", "import", "pipe", "--campaign", "spring", "--json")
    writer.join()
    found = ran.json()
    assert (found["new"], found["rejected"]) == (1, 1)
    assert found["rejected_rows"] == "rejected.csv"
    assert "Bo" in (outbound.directory / "rejected.csv").read_text()
