"""Places of a made-up county, as many as a paper's gazetteer holds."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

CATEGORIES = {
    "schools": ["Elementary School", "Middle School", "High School", "Academy"],
    "healthcare": ["Family Clinic", "Regional Hospital", "Dental Care", "Pharmacy"],
    "religious": ["Baptist Church", "United Methodist Church", "Lutheran Church", "Chapel"],
    "businesses": ["Bar & Grill", "Auto Repair", "Hardware", "Market", "Insurance Co."],
    "government": ["City Hall", "Fire Station", "Post Office", "County Courthouse"],
    "sports": ["Sports Complex", "Ball Field", "Gymnasium"],
    "landmarks": ["Memorial Park", "State Park", "Bridge", "Cemetery", "Museum"],
    "transportation": ["Bus Stop", "Airport", "Depot"],
}
HEADS = (
    "Alder Ashland Bellweather Birch Boonville Calloway Cedar Centralia Chestnut Clark Columbia Cooper Crestview Dalton Eldon Elm "
    "Fairview Franklin Fulton Glenwood Grant Greenfield Hallsville Harrison Hickory Hillcrest Howard Jackson Jefferson Kingston Lake "
    "Lakeview Lincoln Linden Madison Maple Marion Mexico Millbrook Monroe Moniteau Northgate Oak Oakland Osage Paris Parkside Perry "
    "Pleasant Prairie Randolph Ridgeway Riverside Rocheport Saline Salem Shelby Spring Sturgeon Sunrise Sycamore Union Valley Vienna "
    "Walnut Warren Washington Waverly Westminster Willow Windsor Woodland"
).split()
SAINTS = ["St. Mary's", "St. Luke's", "First", "Second", "Old", "New", "North", "South", "East", "West", "Upper", "Lower", "Greater"]


@dataclass
class Row:
    """A row of the gazetteer, with the columns that the extraction reads."""

    id: str
    name: str
    name_norm: str
    category: str


def rows(count: int, seed: int = 7) -> list[Row]:
    """That many rows; about one in ten repeats a name, as chains and bus stops do."""
    source = random.Random(seed)
    made = []
    for index in range(count):
        category = source.choice(list(CATEGORIES))
        words = [source.choice(SAINTS)] if source.random() < 0.5 else []
        words += source.sample(HEADS, source.choice((1, 1, 2)))
        name = " ".join([*words, source.choice(CATEGORIES[category])])
        made.append(Row(f"row-{index}", name, " ".join(re.sub(r"[^\w\s'-]", " ", name).lower().split()), category))
    return made
