#!/usr/bin/python3
"""Writes the example's own chat records: two days, invented from templates, the same every time.

usage: make_sample.py [FOLDER]      (default: ../data beside this script)

Python's random module keeps the sequence of random() for a seed between versions, but not of
everything built on it; so the choices here are made with random() alone.
"""

import json
import os
import random
import sys

RECORDS = 1500
DAYS = ("20200406", "20200407")
SERVERS = ["s1", "s2", "s3", "s4"]
CHANNELS = ["world", "world", "world", "guild", "guild", "team", "team", "trade", "private"]

PLACES = ["青石镇", "落霞谷", "寒冰洞窟", "古战场", "云海天宫", "沉船湾", "迷雾森林", "火山口", "地下城三层", "沙漠驿站"]
BOSSES = ["霜狼王", "熔岩巨人", "影子刺客", "千年树妖", "深海章鱼", "机械守卫", "白骨将军", "雷龙"]
ITEMS = ["强化石", "复活药水", "传送卷轴", "紫色披风", "破魔剑", "龙鳞盾", "经验丹", "坐骑蛋", "宝石袋", "双倍经验卡", "暗金戒指"]
JOBS = ["战士", "法师", "牧师", "弓箭手", "刺客", "坦克", "奶妈", "召唤师"]
MOODS = ["哈哈哈", "呜呜", "太难了", "笑死我了", "好开心", "好累", "服了", "厉害了", "666", "hhhh", "[玫瑰]", "😂", "😭", "👍"]
WORDS = ["GG", "BOSS", "DPS", "AOE", "PK", "buff", "lag", "AFK", "ok", "nice", "T恤", "WiFi", "5G"]

TEMPLATES = [
    "{place}打{boss}，来{n}个{job}",
    "有没有去{place}的，{lv}级以上",
    "出{item}，{price}金币，要的密我",
    "收{item}，有多少要多少！",
    "{boss}刷新了，快来{place}",
    "刚才爆了一个{item}，{mood}",
    "公会招人，{lv}级以上，每天{hour}点集合打{boss}",
    "谁能带我过{place}？我是{lv}级{job}",
    "{job}怎么加点？求大佬指点一下",
    "今天的副本太难了，{boss}一下就把{job}秒了",
    "{mood} 又掉线了",
    "服务器好卡啊，延迟{ms}ms",
    "明天{hour}:30维护，大家记得领取奖励",
    "我的{item}强化到+{plus}了，{mood}",
    "组队 {place} 差{n}人 {word}",
    "{word}！下一把",
    "{word} {word}，走起",
    "{item}掉率是{pct}%吧？感觉没有{pct2}%",
    "老板，{item}便宜点，{price}行不行",
    "晚上一起打{boss}好不好",
    "新手求问：{place}在哪里传送",
    "我先下了，明天见~",
    "谢谢大家，{mood}{mood}",
    "攻击力才{price}，打不动{boss}……",
    "世界频道能不能安静一点",
    "v{n}.{plus}版本什么时候更新",
    "{job}和{job}哪个好玩",
    "{place}的路上遇到了{boss}，跑都跑不掉",
    "第{n}次挑战失败，{mood}",
    "换号了，以后玩{job}",
    "「{item}」×{n}，只换「{item}」",
    "boss还有{n}分{ms}秒",
    "\t{mood}",
    "他说\"{mood}\"，然后就退队了",
    "路径是data\\{word}\\{n}",
    "你們有沒有去過{place}？",
    "ギルド募集中 {lv}+",
    "{word}+{word}＝{mood}",
    "{price}{price}{price}",
    "。。。",
    "？",
]


class Maker:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def below(self, n):
        return int(self.rng.random() * n)

    def pick(self, choices):
        return choices[self.below(len(choices))]

    def value(self, name):
        lists = {"place": PLACES, "boss": BOSSES, "item": ITEMS, "job": JOBS, "mood": MOODS, "word": WORDS}
        ranges = {"n": (1, 9), "lv": (10, 200), "price": (5, 9999), "hour": (8, 23), "ms": (10, 900),
                  "plus": (1, 15), "pct": (1, 50), "pct2": (1, 20)}
        if name in lists:
            return self.pick(lists[name])
        low, high = ranges[name]
        return str(low + self.below(high - low + 1))

    def text(self):
        template, out = self.pick(TEMPLATES), ""
        while "{" in template:
            before, rest = template.split("{", 1)
            name, template = rest.split("}", 1)
            out += before + self.value(name)
        return out + template

    def level(self):
        edge = self.below(40)
        if edge < 4:
            return (1, 450, 451, 900)[edge]
        return 1 + self.below(900)

    def record(self, date, ms):
        stamp = "%s-%s-%sT%02d:%02d:%02d.%03d+08:00" % (
            date[:4], date[4:6], date[6:], ms // 3600000, ms // 60000 % 60, ms // 1000 % 60, ms % 1000)
        return {"ts": stamp, "server": self.pick(SERVERS), "channel": self.pick(CHANNELS),
                "player_id": "p%06d" % (100000 + self.below(900000)), "level": self.level(), "text": self.text()}


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "data")
    for date in DAYS:
        maker = Maker("celeriac " + date)
        times = sorted(maker.below(86400000) for _ in range(RECORDS))
        with open(os.path.join(folder, date + ".jsonl"), "w", encoding="utf-8", newline="\n") as out:
            for ms in times:
                escaped = maker.below(60) == 0  # as another log writer would
                out.write(json.dumps(maker.record(date, ms), ensure_ascii=escaped, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
