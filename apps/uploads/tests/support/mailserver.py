"""A mail server for tests and demonstrations: real SMTP on loopback, mails into a folder, each once.

Usage: mailserver.py FOLDER [PORT]

It prints "ready PORT" when it listens (port 0, the default, takes any) and runs until its standard input is closed.

Mails are kept as FOLDER/mails/MESSAGE-ID.eml. A mail whose Message-ID is there already is accepted and dropped, as a
receiving system should. FOLDER/log has a line for each event: "kept ID RECIPIENT", "repeated ID RECIPIENT",
"refused CODE RECIPIENT". FOLDER/connections has the most connections that were open at once.

It refuses when it is told to:
- by the recipient: fail-451-2@example.org is refused with 451 twice and then accepted. 421, 450, 451, 550 and so on.
- by a file: while FOLDER/refuse exists, every recipient is refused with its content, for example
  "451 too many, try again in 1 seconds". Without a text the code's usual one is used.
"""

import asyncio
import os
import re
import sys

from aiosmtpd.smtp import SMTP

TEXTS = {
    "421": "4.3.2 service busy, closing the channel",
    "450": "4.2.1 mailbox busy",
    "451": "4.7.1 too many, try again in 1 seconds",
    "550": "5.1.1 no such user",
    "554": "5.7.1 rejected by policy",
}
MAIL_BYTES_MAX = 1 << 20


class Mailbox:
    """Decides on recipients, and keeps mails."""

    def __init__(self, folder):
        self.folder = folder
        self.mails = os.path.join(folder, "mails")
        self.refused = {}
        os.makedirs(self.mails, exist_ok=True)
        self.log = open(os.path.join(folder, "log"), "a", buffering=1)

    def refusal(self, recipient):
        """What to refuse this recipient with, if anything."""
        try:
            with open(os.path.join(self.folder, "refuse")) as told:
                code, _, text = told.read().strip().partition(" ")
                return f"{code} {text or TEXTS.get(code, 'refused')}"
        except FileNotFoundError:
            pass
        wish = re.match(r"fail-([45]\d\d)-(\d+)@", recipient)
        if not wish:
            return None
        code, times = wish.group(1), int(wish.group(2))
        count = self.refused.get(recipient, 0)
        if count >= times:
            return None
        self.refused[recipient] = count + 1
        return f"{code} {TEXTS.get(code, 'refused')}"

    async def handle_RCPT(self, server, session, envelope, address, options):
        refusal = self.refusal(address)
        if refusal:
            self.log.write(f"refused {refusal[:3]} {address}\n")
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        header = re.search(rb"^message-id:\s*<([^>\r\n]+)>", envelope.content, re.I | re.M)
        if not header:
            return "550 5.6.0 a mail needs a Message-ID"
        message_id = re.sub(r"[^A-Za-z0-9.@-]", "_", header.group(1).decode())
        recipients = ",".join(envelope.rcpt_tos)
        path = os.path.join(self.mails, message_id + ".eml")
        try:
            with open(path, "xb") as mail:
                mail.write(envelope.content)
        except FileExistsError:
            self.log.write(f"repeated {message_id} {recipients}\n")
            return "250 2.0.0 I have it already"
        self.log.write(f"kept {message_id} {recipients}\n")
        return "250 2.0.0 kept"


class Counting(SMTP):
    """Notes how many connections there are."""

    open = 0
    most = 0

    def connection_made(self, transport):
        Counting.open += 1
        if Counting.open > Counting.most:
            Counting.most = Counting.open
            with open(os.path.join(self.event_handler.folder, "connections"), "w") as note:
                note.write(str(Counting.most))
        super().connection_made(transport)

    def connection_lost(self, error):
        Counting.open -= 1
        super().connection_lost(error)


async def main():
    folder = sys.argv[1]
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    mailbox = Mailbox(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Counting(mailbox, data_size_limit=MAIL_BYTES_MAX, hostname="localhost", loop=loop),
        "127.0.0.1",
        port,
    )
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
# Connections that are still open end with the process.
os._exit(0)
