"""Compares schedules and time zones with Python: zoneinfo, celery.schedules and ephem.

The probe answers what Celeriac computes. Where Celery itself is wrong (around changes of the clock) an oracle of
a few lines, made of zoneinfo alone, states the rule of crontab.h once more."""

import json
import random
import subprocess
import sys
import unittest
import zoneinfo
from datetime import datetime, timedelta, timezone

PROBE = sys.argv.pop(1)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns",
         "Africa/Casablanca", "Pacific/Chatham", "Europe/Dublin", "America/Sao_Paulo", "UTC"]
FIELDS = ["minute", "hour", "day_of_week", "day_of_month", "month_of_year"]


def ask(questions):
    text = "".join(json.dumps(question) + "\n" for question in questions)
    out = subprocess.run([PROBE], input=text, stdout=subprocess.PIPE, check=True, text=True).stdout
    answers = out.splitlines()
    assert len(answers) == len(questions), (len(answers), len(questions))
    return answers


def stamp(when):
    return int((when - EPOCH).total_seconds())


def at(seconds, zone=timezone.utc):
    return datetime.fromtimestamp(seconds, timezone.utc).astimezone(zone)


def changes(zone, year):
    """When the offset changes in a year: found by halving."""
    found = []
    step = 86400
    seconds = stamp(datetime(year, 1, 1, tzinfo=timezone.utc))
    for low in range(seconds, seconds + 366 * step, step):
        high = low + step
        if at(low, zone).utcoffset() == at(high, zone).utcoffset():
            continue
        while high - low > 1:
            middle = (low + high) // 2
            if at(middle, zone).utcoffset() == at(low, zone).utcoffset():
                low = middle
            else:
                high = middle
        found.append(high)
    return found


class Zones(unittest.TestCase):
    def test_offsets_are_those_of_zoneinfo_in_all_zones(self):
        random.seed(1)
        questions, expected = [], []
        for name in sorted(zoneinfo.available_timezones()):
            if name in ("localtime", "Factory", "posixrules"):
                continue
            zone = zoneinfo.ZoneInfo(name)
            for _ in range(20):
                seconds = random.randrange(0, stamp(datetime(2040, 1, 1, tzinfo=timezone.utc)))
                questions.append(["offset", name, seconds])
                expected.append(int(at(seconds, zone).utcoffset().total_seconds()))
        self.assertGreater(len(questions), 8000)
        self.assertEqual([int(a) for a in ask(questions)], expected)

    def test_offsets_around_every_change_and_far_ahead(self):
        questions, expected = [], []
        for name in ZONES:
            zone = zoneinfo.ZoneInfo(name)
            for year in [*range(1975, 2041, 13), 2099, 2400]:
                for change in changes(zone, year):
                    for seconds in (change - 1, change, change + 1):
                        questions.append(["offset", name, seconds])
                        expected.append(int(at(seconds, zone).utcoffset().total_seconds()))
        self.assertGreater(len(questions), 150)
        self.assertEqual([int(a) for a in ask(questions)], expected)


def random_field(low, high, names=()):
    def number():
        return str(random.randint(low, high))
    parts = []
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        kind = random.randrange(6)
        if kind == 0:
            parts.append("*")
        elif kind == 1:
            parts.append("*/" + str(random.randint(1, high + 2)))
        elif kind == 2:
            parts.append(number() + "-" + number())
        elif kind == 3:
            parts.append(number() + "-" + number() + "/" + str(random.randint(1, 7)))
        elif kind == 4 and names:
            parts.append("-".join(random.choice(names) for _ in range(random.choice([1, 2]))))
        else:
            parts.append(number())
    return ",".join(parts)


DAYS = ["sun", "Mon", "TUESDAY", "wed", "thursday", "fri", "sat"]


def random_crontab():
    return {"__class__": "crontab",
            "minute": random.choice(["*", random_field(0, 59), random_field(0, 59), 0, [0, 15, 30]]),
            "hour": random.choice(["*", "*", random_field(0, 23), random_field(0, 23), 2]),
            "day_of_week": random.choice(["*", "*", "*", random_field(0, 6, DAYS)]),
            "day_of_month": random.choice(["*", "*", "*", random_field(1, 31)]),
            "month_of_year": random.choice(["*", "*", "*", random_field(1, 12)])}


def celery_crontab(entry, now=None):
    from celery.schedules import crontab
    arguments = {key: set(value) if isinstance(value, list) else value
                 for key, value in entry.items() if key != "__class__"}
    return crontab(nowfun=(lambda: now) if now else None, **arguments)


class Grammar(unittest.TestCase):
    BOUNDS = [(60, 0), (24, 0), (7, 0), (31, 1), (12, 1)]

    def expected(self, field, text):
        from celery.schedules import crontab_parser
        return sorted(crontab_parser(*self.BOUNDS[field]).parse(text))

    def test_every_form(self):
        random.seed(2)
        cases = [(0, "*/15"), (0, "50-10/10"), (1, "22-2"), (2, "fri-mon"), (2, "SUN"), (3, "25-5"), (4, "2-12/2"),
                 (4, "*/5"), (0, "1,13,30-45/5"), (2, "sun,Monday,sat"), (0, "0"), (3, "*"), (0, " 5, 7")]
        for _ in range(3000):
            field = random.randrange(5)
            size, low = self.BOUNDS[field]
            cases.append((field, random_field(low, low + size - 1, DAYS if field == 2 else ())))
        answers = ask([["field", field, text] for field, text in cases])
        for (field, text), got in zip(cases, answers):
            with self.subTest(field=FIELDS[field], text=text):
                self.assertEqual([int(number) for number in got.split()], self.expected(field, text))

    def test_what_celery_refuses_is_refused(self):
        cases = [(0, ""), (0, ","), (0, "60"), (0, "-1"), (0, "1-"), (0, "-5"), (0, "x"), (0, "*/"), (0, "*/0"),
                 (0, "5-10/"), (1, "24"), (2, "7"), (2, "su"), (2, "xyz"), (3, "0"), (3, "32"), (4, "0"), (4, "13"),
                 (0, "1-99"), (0, "* 5"), (0, "*/x"), (0, "1,,2")]
        for (field, text), got in zip(cases, ask([["field", field, text] for field, text in cases])):
            with self.subTest(field=FIELDS[field], text=text):
                self.assertTrue(got.startswith("error crontab: " + FIELDS[field]), got)
                with self.assertRaises(Exception):
                    self.expected(field, text)

    def test_months_have_names(self):
        """Newer than 5.2; there too the first three letters count, and months come first."""
        self.assertEqual(ask([["field", 4, "jan-march,December"]]), ["1 2 3 12 "])


class Crontabs(unittest.TestCase):
    def test_next_is_celerys_far_from_changes(self):
        import pytz
        random.seed(3)
        questions, cases = [], []
        for name in ZONES:
            zone = pytz.timezone(name)
            for _ in range(150):
                entry = random_crontab()
                last = datetime.fromtimestamp(random.randrange(1_000_000_000, 2_000_000_000), zone)
                questions.append(["next", name, entry, stamp(last) * 1_000_000])
                cases.append((entry, last))
        compared = 0
        for (entry, last), got in zip(cases, ask(questions)):
            if last.utcoffset() < timedelta(0) and last.date() != last.astimezone(timezone.utc).date() and \
                    (entry["day_of_month"], entry["month_of_year"]) != ("*", "*"):
                continue  # there Celery takes midnight UTC for midnight, and leaves out the next day
            schedule = celery_crontab(entry, last)
            schedule.__dict__["tz"] = last.tzinfo  # else the current app's
            try:
                _, delta, _ = schedule.remaining_delta(last, tz=last.tzinfo)
            except RuntimeError:
                self.assertTrue(got.startswith("error"), (entry, got))
                continue
            wall = (last + delta).replace(tzinfo=None)
            mine = datetime.fromtimestamp(int(got) // 1_000_000, last.tzinfo)
            try:
                zone = pytz.timezone(str(last.tzinfo))
                zone.localize(wall, is_dst=None)  # exists, and once
                zone.localize(wall - timedelta(hours=3), is_dst=None)
                zone.localize(wall + timedelta(hours=3), is_dst=None)
            except (pytz.AmbiguousTimeError, pytz.NonExistentTimeError):
                continue
            if zone.localize(last.replace(tzinfo=None) - timedelta(hours=3)).utcoffset() != \
                    zone.localize(last.replace(tzinfo=None) + timedelta(hours=3)).utcoffset():
                continue
            self.assertEqual(mine.replace(tzinfo=None), wall, (entry, last))
            compared += 1
        self.assertGreater(compared, 1100)


def oracle(entry, zone, low, high):
    """All times an entry is due between two, by the rule of crontab.h: minute by minute."""
    schedule = celery_crontab(entry)
    every_hour = len(schedule.hour) == 24
    due = set()
    wall = datetime.fromtimestamp(low - 172800, timezone.utc).replace(tzinfo=None, second=0)
    wall -= timedelta(minutes=wall.minute)
    end = datetime.fromtimestamp(high + 172800, timezone.utc).replace(tzinfo=None)
    while wall < end:
        if (wall.minute in schedule.minute and wall.hour in schedule.hour and wall.day in schedule.day_of_month and
                wall.month in schedule.month_of_year and wall.isoweekday() % 7 in schedule.day_of_week):
            first = stamp(wall.replace(tzinfo=zone, fold=0))
            second = stamp(wall.replace(tzinfo=zone, fold=1))
            due.add(first)  # in a gap fold=0 counts with the offset before the change
            if second > first and every_hour:
                due.add(second)
        wall += timedelta(minutes=1)
    return sorted(seconds for seconds in due if low < seconds <= high)


class ClockChanges(unittest.TestCase):
    def walk(self, name, entry, low, high):
        """The probe's answers, one after the other: forwards and backwards."""
        zone = zoneinfo.ZoneInfo(name)
        expected = oracle(entry, zone, low, high)
        points = [low, *expected, *(random.randrange(low, high) for _ in range(20))]
        nexts = ask([["next", name, entry, point * 1_000_000] for point in points])
        lasts = ask([["last", name, entry, point * 1_000_000 + 999_999] for point in points])
        for point, following, before in zip(points, nexts, lasts):
            later = [seconds for seconds in expected if seconds > point]
            if later:
                self.assertEqual(int(following), later[0] * 1_000_000, (name, entry, point))
            earlier = [seconds for seconds in expected if seconds <= point]
            if earlier:
                self.assertEqual(int(before), earlier[-1] * 1_000_000, (name, entry, point))
        return expected

    def test_rule_around_changes_in_many_zones(self):
        random.seed(4)
        total = 0
        for name in [zone for zone in ZONES if zone != "UTC"]:
            zone = zoneinfo.ZoneInfo(name)
            for year in random.sample(range(1990, 2040), 2):
                for change in changes(zone, year):
                    entry = {"__class__": "crontab", "minute": random.choice(["*/10", "0", 30, "5,35", "*"]),
                             "hour": random.choice(["*", "*/2", "0-3", "1,2", 2, "23-1"])}
                    total += len(self.walk(name, entry, change - 90000, change + 90000))
        self.assertGreater(total, 500)

    def test_samoa_leaves_out_a_day(self):
        change = changes(zoneinfo.ZoneInfo("Pacific/Apia"), 2011)[-1]
        self.assertGreater(len(self.walk("Pacific/Apia", {"__class__": "crontab", "minute": 0, "hour": "*/6"},
                                         change - 200000, change + 200000)), 10)
        self.walk("Pacific/Apia", {"__class__": "crontab", "minute": 0, "hour": 10, "day_of_month": 30,
                                   "month_of_year": 12}, change - 200000, change + 200000)

    def test_gap_and_overlap_in_words(self):
        daily = {"__class__": "crontab", "minute": 30, "hour": 2}
        hourly = {"__class__": "crontab", "minute": 30}

        def local(entry, year, month, day, count):
            seconds = int((datetime(year, month, day) - timedelta(hours=1) - datetime(1970, 1, 1)).total_seconds())
            texts = []
            for _ in range(count):
                seconds = int(ask([["next", "Europe/Berlin", entry, seconds * 1_000_000]])[0]) // 1_000_000
                texts.append(at(seconds, zoneinfo.ZoneInfo("Europe/Berlin")).strftime("%d %H:%M%z"))
            return texts

        self.assertEqual(local(daily, 2026, 3, 28, 3), ["28 02:30+0100", "29 03:30+0200", "30 02:30+0200"])
        self.assertEqual(local(daily, 2026, 10, 25, 2), ["25 02:30+0200", "26 02:30+0100"])
        self.assertEqual(local(hourly, 2026, 10, 25, 4)[-3:], ["25 02:30+0200", "25 02:30+0100", "25 03:30+0100"])


class Intervals(unittest.TestCase):
    def test_relative_intervals_are_celerys(self):
        import pytz
        from celery.schedules import schedule
        random.seed(5)
        questions, expected = [], []
        for _ in range(500):
            name = random.choice(["UTC", "Asia/Kathmandu", "Europe/Berlin"])
            zone = pytz.timezone(name)
            last = datetime.fromtimestamp(random.randrange(1_784_000_000, 1_790_000_000), zone)
            every = random.choice([1.5, 30, 90, 600, 3600, 5400, 86400, 100000, 604800])
            relative = random.choice([True, False])
            left = schedule(every, relative, nowfun=lambda: last).remaining_estimate(last)
            questions.append(["due", name, every, stamp(last) * 1_000_000, stamp(last) * 1_000_000, relative])
            expected.append(stamp(last) * 1_000_000 + round(left.total_seconds() * 1e6))
        for question, got, wanted in zip(questions, ask(questions), expected):
            if wanted > question[3]:
                self.assertEqual(int(got), wanted, question)

    def test_missed_ticks_become_one_on_the_grid(self):
        second = 1_000_000
        self.assertEqual(ask([
            ["due", "UTC", 10, 100 * second, 105 * second, False],
            ["due", "UTC", 10, 100 * second, 110 * second, False],
            ["due", "UTC", 10, 100 * second, 139 * second, False],
            ["due", "UTC", 3600, 4000 * second, 400_000_000 * second, True],
            ["due", "UTC", {"__class__": "crontab", "hour": 4, "minute": 0}, 0, 10 * 86400 * second, False],
        ]), ["110000000", "110000000", "130000000", "399999600000000", str((9 * 86400 + 4 * 3600) * second)])

    def test_impossible_schedules(self):
        for entry in [0, -1, 0.0001, 1e300, "10", None, True, [], {}, {"__class__": "crontab", "minute": 60},
                      {"__class__": "crontab", "minute": []}, {"__class__": "crontab", "minute": [0, "1"]},
                      {"__class__": "crontab", "hour": None}, {"__class__": "crontab", "hour": 1.5},
                      {"__class__": "crontab", "day_of_month": 31, "month_of_year": "feb,apr"},
                      {"__class__": "solar", "event": "lunch", "lat": 0, "lon": 0},
                      {"__class__": "solar", "event": "sunset", "lat": 91, "lon": 0},
                      {"__class__": "solar", "event": "sunset", "lat": 0}, {"__class__": "schedule"}]:
            with self.subTest(entry=entry):
                self.assertTrue(ask([["next", "UTC", entry, 0]])[0].startswith("error "))


class Sun(unittest.TestCase):
    EVENTS = {"dawn_astronomical": "next_rising", "dawn_nautical": "next_rising", "dawn_civil": "next_rising",
              "sunrise": "next_rising", "solar_noon": "next_transit", "sunset": "next_setting",
              "dusk_civil": "next_setting", "dusk_nautical": "next_setting", "dusk_astronomical": "next_setting"}
    HEIGHTS = {"astronomical": "-18", "nautical": "-12", "civil": "-6"}

    def expected(self, event, lat, lon, start):
        import ephem
        place = ephem.Observer()
        place.lat, place.lon, place.elev, place.pressure = str(lat), str(lon), 0, 0
        place.horizon = self.HEIGHTS.get(event.split("_")[-1], "-0:34")
        place.date = start.replace(tzinfo=None)
        options = {"use_center": True} if event.startswith("d") else {}
        method = getattr(place, self.EVENTS[event])
        return method(ephem.Sun(), **options).datetime().replace(tzinfo=timezone.utc)

    def test_events_are_those_of_ephem(self):
        try:
            import ephem
        except ImportError:
            self.skipTest("python3-ephem is not installed")
        random.seed(6)
        questions, expected = [], []
        while len(questions) < 400:
            event = random.choice(sorted(self.EVENTS))
            lat, lon = random.uniform(-60, 60), random.uniform(-180, 180)
            start = datetime(2000, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=random.randrange(40 * 365 * 1440))
            try:
                expected.append(self.expected(event, lat, lon, start))
            except ephem.CircumpolarError:
                continue
            questions.append(["next", "UTC", {"__class__": "solar", "event": event, "lat": lat, "lon": lon},
                              stamp(start) * 1_000_000])
        apart = []
        for question, got, wanted in zip(questions, ask(questions), expected):
            difference = abs(int(got) / 1e6 - wanted.timestamp())
            if difference > 80000:  # on either side of the question's time
                continue
            apart.append(difference)
            self.assertLess(difference, 60, (question, wanted))
        self.assertGreater(len(apart), 380)
        self.assertLess(sum(apart) / len(apart), 6)

    def test_polar_night_waits_for_the_sun(self):
        start = stamp(datetime(2026, 11, 30, tzinfo=timezone.utc))
        got = int(ask([["next", "UTC", {"__class__": "solar", "event": "sunrise", "lat": 69.65, "lon": 18.96},
                        start * 1_000_000]])[0])
        self.assertEqual(at(got // 1_000_000).strftime("%Y-%m"), "2027-01")


if __name__ == "__main__":
    unittest.main()
