"""The engine with real children and the real library: slots, leaving, dying, unloading."""

from __future__ import annotations

import os
import signal

import msgspec
import pytest
import trio

pytest.importorskip("_pywhispercpp")
import trio.lowlevel
from parrot_model import SAYS, write_parrot
from speech_house import SAID, WIRE, engine_with, record, wait_first

from hoosh.errors import InvalidRequest, NoRoute, QueueFull, Unavailable, UnsupportedMedia
from hoosh.speech import TranscriberDied, TranscriptOptions, Whisper, child
from hoosh.speech.engine import SpeechEngine

GERMAN = TranscriptOptions(language="de")
"""To find out takes the model as long again."""
HOUR_S = 3600.0
PATIENT_MS = 30_000
"""For tests in which the child shall stop by itself."""

needs_wire = pytest.mark.skipif(not WIRE.is_dir(), reason="the shared recordings are not here")


@pytest.fixture
def brief(tmp_path):
    return str(record(tmp_path / "brief.wav", 5.0))


@pytest.fixture(scope="session")
def endless(tmp_path_factory):
    """An hour: nobody listens to the end of it."""
    return str(record(tmp_path_factory.mktemp("long") / "hour.wav", HOUR_S, rate_hz=2_000))


async def said(engine: SpeechEngine, path: str, options: TranscriptOptions = GERMAN, **rest) -> str:
    async with engine.transcribe(path, options, **rest) as transcription:
        return (await transcription.whole()).text


# -- what is heard -----------------------------------------------------------------------------------------------------


async def test_segments_come_with_times_tokens_and_words(parrot, tmp_path):
    path = record(tmp_path / "long.wav", 40.0)
    async with engine_with(model=str(parrot)) as engine:
        async with engine.transcribe(str(path), TranscriptOptions(words=True)) as transcription:
            segments = [segment async for segment in transcription]
        told = transcription.transcript
    shifted = [(text, start + at, end + at) for at in (0, 30) for text, start, end in SAYS]
    assert [(one.text.strip(), one.start_s, one.end_s) for one in segments] == shifted
    assert [word.text for word in segments[1].words] == ["liebe", "Könige."]
    assert all(one.start_s <= word.start_s <= word.end_s <= one.end_s for one in segments for word in one.words)
    assert all(one.tokens and one.avg_logprob == pytest.approx(0.0, abs=0.01) for one in segments)
    assert (told.language, told.duration_s, told.text) == ("de", 40.0, " ".join([SAID] * 2))


async def test_nothing_of_one_request_is_left_for_the_next(parrot, brief):
    async with engine_with(model=str(parrot)) as engine:
        first = await said(engine, brief)
        moved = await said(
            engine, brief, TranscriptOptions(language="English", prompt="Hush", words=True, translate=True)
        )
        async with engine.transcribe(brief) as transcription:
            last = await transcription.whole()
    assert first == SAID != moved
    assert (last.text, last.language, last.words) == (SAID, "de", [])


@needs_wire
async def test_the_weightless_model_goes_through_the_whole_machinery():
    model = WIRE / "for-tests-ggml-tiny.bin"
    english = TranscriptOptions(language="en")
    async with (
        engine_with(model=str(model)) as engine,
        engine.transcribe(str(WIRE / "jfk.wav"), english) as transcription,
    ):
        told = await transcription.whole()
    assert (told.text, told.language, told.duration_s) == ("", "en", 11.0)


async def test_silence_is_not_given_to_the_model(parrot, tmp_path):
    path = tmp_path / "silence.wav"
    record(path, 3.0)
    data = bytearray(path.read_bytes())
    data[44:] = bytes(len(data) - 44)
    path.write_bytes(data)
    async with engine_with(model=str(parrot)) as engine:
        assert await said(engine, str(path)) == ""


# -- whose fault it is -------------------------------------------------------------------------------------------------


NO_SOUND = [
    (b"", InvalidRequest, "empty"),
    (b"RIFF", InvalidRequest, "header"),
    (b"RIFF\x24\x00\x00\x00AVI LIST", UnsupportedMedia, "no WAVE"),
    (b"hello, is this thing on?", UnsupportedMedia, "WAV, FLAC, MP3 and Ogg"),
    (b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00", UnsupportedMedia, "M4A"),
    (b"OggS" + bytes(22) + b"\x01\x50" + b"Speex   1.2", UnsupportedMedia, "Ogg file without Vorbis"),
    (b"\x1aE\xdf\xa3\x01\x00\x00\x00", UnsupportedMedia, "WebM"),
]


async def test_what_is_no_sound_is_the_callers_fault(parrot, tmp_path, brief):
    path = tmp_path / "it"
    async with engine_with(model=str(parrot)) as engine:
        for content, kind, words in NO_SOUND:
            path.write_bytes(content)
            with pytest.raises(kind, match=words) as caught:
                await said(engine, str(path))
            assert (caught.value.param, type(caught.value)) == ("file", kind)
        pid = engine.statistics().loaded[0].pid
        assert await said(engine, brief) == SAID
        assert engine.statistics().loaded[0].pid == pid


async def test_a_file_that_is_not_there_is_nobodys_bug(parrot, tmp_path):
    async with engine_with(model=str(parrot)) as engine:
        with pytest.raises(TranscriberDied) as caught:
            await said(engine, str(tmp_path / "gone.wav"))
    assert str(tmp_path) not in str(caught.value)


async def test_a_recording_that_is_too_long_is_refused(parrot, tmp_path):
    path = record(tmp_path / "long.wav", 11.0)
    async with engine_with(model=str(parrot), max_audio_s=10.0) as engine:
        with pytest.raises(InvalidRequest, match="longer than the 10 seconds") as caught:
            await said(engine, str(path))
    assert caught.value.code == "audio_too_long"


async def test_options_are_checked_before_anything_is_loaded(parrot, tmp_path, brief):
    write_parrot(tmp_path / "ggml-parrot.en.bin", multilingual=False)
    async with engine_with(model=str(parrot), models_dir=str(tmp_path)) as engine:
        for options, model, param in [
            (TranscriptOptions(language="klingon"), None, "language"),
            (TranscriptOptions(temperature=1.5), None, "temperature"),
            (TranscriptOptions(language="de"), "parrot.en", "language"),
            (TranscriptOptions(translate=True), "parrot.en", "language"),
        ]:
            with pytest.raises(InvalidRequest) as caught:
                await said(engine, brief, options, model=model)
            assert caught.value.param == param
        assert not engine.statistics().loaded
        async with engine.transcribe(brief, model="parrot.en") as transcription:
            assert (await transcription.whole()).language == "en"


async def test_without_a_model_it_says_so(brief, tmp_path):
    async with engine_with(models_dir=str(tmp_path)) as engine:
        with pytest.raises(Unavailable, match="No whisper model is configured"):
            await said(engine, brief)
        with pytest.raises(NoRoute):
            await said(engine, brief, model="tiny")


async def test_a_model_that_the_library_cannot_load_breaks_nothing(parrot, brief, tmp_path):
    """Whole as a file, but with a tensor that the library does not expect."""
    broken = tmp_path / "broken.bin"
    broken.write_bytes(parrot.read_bytes().replace(b"decoder.ln.bias", b"decoder.ln.hias"))
    async with engine_with(model=str(broken), models_dir=str(parrot.parent)) as engine:
        for _ in range(2):
            with pytest.raises(Unavailable, match="`broken` cannot be loaded") as caught:
                await said(engine, brief)
            assert caught.value.code == "model_broken"
        assert await said(engine, brief, model="parrot") == SAID


async def test_without_the_libraries_it_says_what_to_install(parrot, brief, monkeypatch):
    monkeypatch.setattr("hoosh.speech.faults.find_spec", lambda name: None if name == "soxr" else name)
    async with engine_with(model=str(parrot)) as engine:
        with pytest.raises(Unavailable, match=r"pip install 'hoosh-trio\[whisper\]'"):
            await said(engine, brief)


async def test_a_house_that_is_closing_transcribes_nothing(parrot, brief):
    engine = SpeechEngine(Whisper(model=str(parrot)))
    with pytest.raises(Unavailable):
        await said(engine, brief)


# -- leaving -----------------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_stops_its_child_and_the_next_has_the_slot(parrot, endless, brief):
    async with engine_with(model=str(parrot), abort_ms=PATIENT_MS) as engine:
        async with engine.transcribe(endless, GERMAN) as left:
            await wait_first(left)
            pid = engine.statistics().loaded[0].pid
        assert await said(engine, brief) == SAID
        told = engine.statistics()
    assert left.heard_s < HOUR_S
    assert not left.is_over
    assert (told.aborted, told.killed, told.ended, told.loaded[0].pid) == (1, 0, 1, pid)


async def test_cancellation_gives_the_slot_to_who_waits(parrot, endless, brief):
    async with engine_with(model=str(parrot), abort_ms=PATIENT_MS) as engine, trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        began = trio.Event()

        async def leave() -> None:
            with scope:
                async with engine.transcribe(endless, GERMAN) as transcription:
                    await wait_first(transcription)
                    began.set()
                    await transcription.whole()

        nursery.start_soon(leave)
        await began.wait()
        heard = []

        async def wait_for_a_slot() -> None:
            heard.append(await said(engine, brief))

        nursery.start_soon(wait_for_a_slot)
        while not engine.statistics().waiting:
            await trio.lowlevel.checkpoint()
        scope.cancel()
    assert heard == [SAID]
    assert (engine.statistics().aborted, engine.statistics().ended) == (1, 1)


async def test_a_child_that_does_not_stop_is_killed_and_replaced(parrot, endless, brief):
    async with engine_with(model=str(parrot), abort_ms=1) as engine:
        async with engine.transcribe(endless, GERMAN) as left:
            await wait_first(left)
            pid = engine.statistics().loaded[0].pid
            os.kill(pid, signal.SIGSTOP)
        assert await said(engine, brief) == SAID
        told = engine.statistics()
    assert (told.aborted, told.killed) == (1, 1)
    assert told.loaded[0].pid != pid


async def test_who_leaves_while_the_model_is_loaded_leaves_it_for_the_next(parrot, brief):
    async with engine_with(model=str(parrot)) as engine:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(said, engine, brief)
                while not engine.statistics().loaded:
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        while (pid := engine.statistics().loaded[0].pid) is None:
            await trio.lowlevel.checkpoint()
        assert await said(engine, brief) == SAID
        assert engine.statistics().loaded[0].pid == pid
        assert engine.statistics().begun == 1


# -- dying -------------------------------------------------------------------------------------------------------------


async def die_by(number: signal.Signals, engine: SpeechEngine, path: str) -> None:
    async with engine.transcribe(path) as transcription:
        await wait_first(transcription)
        os.kill(engine.statistics().loaded[0].pid, number)
        await transcription.whole()


async def test_a_child_killed_in_the_middle_takes_one_transcription_with_it(parrot, endless, brief):
    async with engine_with(model=str(parrot)) as engine:
        with pytest.raises(TranscriberDied, match="SIGKILL"):
            await die_by(signal.SIGKILL, engine, endless)
        assert await said(engine, brief) == SAID
        assert engine.statistics().died == 1


async def test_what_a_child_wrote_to_stderr_is_told_to_the_log(parrot, endless, caplog):
    async with engine_with(model=str(parrot)) as engine:
        with pytest.raises(TranscriberDied) as caught:
            await die_by(signal.SIGABRT, engine, endless)
    assert "Fatal Python error: Aborted" in caught.value.said
    assert "Fatal Python error: Aborted" in caplog.text
    assert str(parrot) not in str(caught.value)


async def test_an_idle_child_that_dies_is_replaced(parrot, brief):
    async with engine_with(model=str(parrot)) as engine:
        await said(engine, brief)
        pid = engine.statistics().loaded[0].pid
        os.kill(pid, signal.SIGKILL)
        while engine.statistics().loaded:
            await trio.lowlevel.checkpoint()
        assert await said(engine, brief) == SAID


async def test_a_child_that_grows_too_large_is_killed(parrot, brief):
    async with engine_with(model=str(parrot)) as engine:
        async with engine.transcribe(brief) as transcription:
            transcription._memory_bytes = 1
            with pytest.raises(Unavailable, match="more memory"):
                await transcription.whole()
        assert not engine.statistics().loaded


async def test_the_end_of_the_house_is_the_end_of_its_children(parrot, brief):
    async with engine_with(model=str(parrot)) as engine:
        await said(engine, brief)
        pid = engine.statistics().loaded[0].pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# -- slots and memory --------------------------------------------------------------------------------------------------


async def test_a_model_that_never_comes_off_its_disk_is_given_up(parrot, brief, monkeypatch):
    async with engine_with(model=str(parrot)) as engine:
        with monkeypatch.context() as patch:
            patch.setattr(child, "LOAD_S", 0.001, raising=False)
            with pytest.raises(Unavailable, match="not loaded within"):
                await said(engine, brief)
            assert not engine.statistics().loaded
        assert await said(engine, brief) == SAID


async def test_a_child_that_cannot_be_ended_keeps_no_pipe_open(parrot, brief, monkeypatch):
    """As one that waits for a disk which is gone: not even SIGKILL ends it before that disk is back."""

    async def never(process):
        await trio.sleep_forever()

    monkeypatch.setattr(child, "REAP_S", 0.01)
    async with engine_with(model=str(parrot)) as engine:
        await said(engine, brief)
        process = engine._children[0]._process
        monkeypatch.setattr(trio.Process, "wait", never)
    for pipe in (process.stdin, process.stdout, process.stderr):
        with pytest.raises(trio.ClosedResourceError):
            await (pipe.send_all(b"x") if pipe is process.stdin else pipe.receive_some())
    monkeypatch.undo()
    await process.wait()


async def test_two_are_transcribed_at_once(parrot, endless):
    async with (
        engine_with(model=str(parrot), slots=2, abort_ms=PATIENT_MS) as engine,
        engine.transcribe(endless, GERMAN) as one,
        engine.transcribe(endless, GERMAN) as other,
    ):
        await wait_first(one)
        await wait_first(other)
        await wait_first(one)
        told = engine.statistics()
        assert told.running == 2
        assert len({model.pid for model in told.loaded}) == 2


async def test_who_finds_no_place_to_wait_is_told_when_to_come_again(parrot, endless):
    async with (
        engine_with(model=str(parrot), max_waiting=0, abort_ms=PATIENT_MS) as engine,
        engine.transcribe(endless, GERMAN) as transcription,
    ):
        await wait_first(transcription)
        for usual_s in (0.1, 3.0, 600.0):
            engine._usual_s = usual_s
            with pytest.raises(QueueFull, match="being transcribed: 1; waiting: 0") as caught:
                await said(engine, endless)
            assert caught.value.retry_after_s == min(max(usual_s, 1.0), 5.0)


async def test_a_model_without_room_beside_one_at_work_is_busy_not_broken(parrot, tmp_path, endless):
    for name in ("ggml-grey.bin", "ggml-green.bin"):
        (tmp_path / name).write_bytes(parrot.read_bytes())
    settings = {"models_dir": str(tmp_path), "slots": 2, "abort_ms": PATIENT_MS}
    async with engine_with(**settings) as engine:
        need = (await engine.find("grey")).memory_bytes
        engine.configure(Whisper(**settings, memory_bytes=need * 3 // 2))
        async with engine.transcribe(endless, GERMAN, model="grey") as transcription:
            await wait_first(transcription)
            with pytest.raises(QueueFull, match="no memory for the whisper model `green`"):
                await said(engine, endless, model="green")


async def test_another_model_takes_the_place_of_an_idle_one(parrot, tmp_path, brief):
    (tmp_path / "ggml-parrot.bin").symlink_to("ggml-grey.bin")
    (tmp_path / "ggml-grey.bin").write_bytes(parrot.read_bytes())
    async with engine_with(model=str(parrot), models_dir=str(tmp_path)) as engine:
        assert await engine.names() == ["grey", "parrot"]
        await said(engine, brief)
        await said(engine, brief, model="grey")
        assert [model.name for model in engine.statistics().loaded] == ["grey"]


async def test_the_ceiling_of_memory_is_kept(parrot, brief):
    async with engine_with(model=str(parrot), memory_bytes=1_000_000) as engine:
        with pytest.raises(Unavailable, match="memory_bytes allows 1000000"):
            await said(engine, brief)
        assert not engine.statistics().loaded


async def test_an_idle_model_leaves_the_memory(parrot, brief):
    async with engine_with(model=str(parrot), idle_unload_s=0.001) as engine:
        await said(engine, brief)
        while engine.statistics().loaded:
            await trio.sleep(0.001)
        assert await said(engine, brief) == SAID


async def test_other_settings_hold_for_the_next(parrot, tmp_path, endless, brief):
    other = tmp_path / "other.bin"
    other.write_bytes(parrot.read_bytes())
    async with engine_with(model=str(parrot), abort_ms=PATIENT_MS) as engine:
        async with engine.transcribe(endless, GERMAN) as transcription:
            await wait_first(transcription)
            engine.configure(Whisper(model=str(other), slots=2, threads=2, abort_ms=PATIENT_MS))
            assert await said(engine, brief) == SAID
            await wait_first(transcription)
        assert [(model.name, model.threads) for model in engine.statistics().loaded] == [("other", 2)]


async def test_the_same_settings_once_more_unload_nothing(parrot, brief):
    async with engine_with(model=str(parrot)) as engine:
        await said(engine, brief)
        engine.configure(Whisper(model=str(parrot)))
        assert len(engine.statistics().loaded) == 1
        assert (await engine.find()).name == "parrot"


async def test_a_model_file_that_is_replaced_is_another_model(parrot, tmp_path, brief):
    path = tmp_path / "ggml-mine.bin"
    path.write_bytes(parrot.read_bytes())
    async with engine_with(model="mine", models_dir=str(tmp_path)) as engine:
        await said(engine, brief)
        pid = engine.statistics().loaded[0].pid
        path.write_bytes(parrot.read_bytes())
        os.utime(path, ns=(1, 1))
        assert await said(engine, brief) == SAID
        assert engine.statistics().loaded[0].pid != pid


def test_a_child_gets_no_secrets():
    own = {"PATH": "/bin", "OPENAI_API_KEY": "sk-1", "CUDA_VISIBLE_DEVICES": "0", "PYTHONPATH": "/x"}
    passed = child._environment(own)
    assert passed.keys() == {"PATH", "CUDA_VISIBLE_DEVICES", "PYTHONPATH", "OMP_WAIT_POLICY"}
    assert "sk-1" not in msgspec.json.encode(passed).decode()
    assert passed["PYTHONPATH"].endswith("/x")
