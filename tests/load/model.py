"""What schedules and retention should do, computed without the server's code: zoneinfo and plain loops."""
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

BEGINNING = datetime(2027, 1, 1, tzinfo=timezone.utc)  # of the synthetic disks' epochs
EPOCH = timedelta(hours=6)

# Nothing is due around noon UTC, when the test ends.
POLICIES = [
    {"name": "nightly", "schedule": {"kind": "daily", "daily_times": "20:00", "timezone": "UTC", "spread_minutes": 60},
     "retention": {"days": 7}},
    {"name": "zurich", "schedule": {"kind": "daily", "daily_times": "20:30", "timezone": "Europe/Zurich",
                                    "spread_minutes": 60},
     "retention": {"days": 0, "latest": 2, "daily": 5, "weekly": 3}},
    {"name": "new-york", "schedule": {"kind": "daily", "daily_times": "04:00,17:00", "timezone": "America/New_York",
                                      "spread_minutes": 30},
     "retention": {"days": 10}},
    {"name": "tokyo-weekdays", "schedule": {"kind": "daily", "daily_times": "01:00", "days": 62,
                                            "timezone": "Asia/Tokyo", "spread_minutes": 0},
     "retention": {"days": 0, "daily": 7, "monthly": 2}},
]
SHARES = [0, 0, 0, 0, 1, 1, 1, 2, 3, 3]  # group i has policy SHARES[i % 10]


def policy_of_group(group):
    return POLICIES[SHARES[group % len(SHARES)]]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def runs(policy, vm_id, begin, end):
    """When a VM should have been backed up: after begin, until end."""
    schedule = policy["schedule"]
    zone = ZoneInfo(schedule["timezone"])
    spread = schedule["spread_minutes"] * 60
    shift = timedelta(seconds=crc32c(vm_id.encode()) % spread if spread else 0)
    day = begin.astimezone(zone).date() - timedelta(days=2)
    found = []
    while day <= end.astimezone(zone).date():
        if schedule.get("days", 127) >> (day.isoweekday() % 7) & 1:
            for text in schedule["daily_times"].split(","):
                hour, minute = map(int, text.split(":"))
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                # (the times above exist once on every day)
                found.append(local.astimezone(timezone.utc) + shift)
        day += timedelta(days=1)
    return sorted(at for at in found if begin < at <= end)


def kept(policy, times, now):
    """Which of these points (times, in order) retention leaves at `now`."""
    retention, zone = policy["retention"], ZoneInfo(policy["schedule"]["timezone"])
    newest_first = sorted(times, reverse=True)
    keep = set(newest_first[:max(1, retention.get("latest", 0))])
    keep |= {at for at in newest_first if retention.get("days", 0) and at > now - timedelta(days=retention["days"])}
    periods = {"daily": lambda at: at.date(), "weekly": lambda at: at.isocalendar()[:2],
               "monthly": lambda at: (at.year, at.month)}
    for name, period in periods.items():
        newest = {}
        for at in newest_first:
            newest.setdefault(period(at.astimezone(zone)), at)
        keep |= set(sorted(newest.values(), reverse=True)[:retention.get(name, 0)])
    return keep


def epoch(at):
    return int((at - BEGINNING) / EPOCH)
