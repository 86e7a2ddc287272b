/* The word lists of the built-in corpus. stories_grammar.h explains the notation. */
#include "stories_grammar.h"

/* Heroes and friends: children live in houses, critters in the wild. Both have the same attributes,
 * so that a plot can be told of either. The constants are what differs between their worlds. */

static const char *const kid[] = {
    ("name, he, him, his, self, kind, call={*.name}, hobby=[kid_hobby], living=[kid_living], "
    "friend=[kid_friend], to=[kid_to], at=[kid_at], newcomer=[kid_newcomer], indoors=in the "
    "house, plot=[kid_plot], crowd=children, home=house"),
    "3: Lily, she, her, her, herself, girl",
    "3: Mia, she, her, her, herself, girl",
    "3: Sue, she, her, her, herself, girl",
    "3: Anna, she, her, her, herself, girl",
    "3: Emma, she, her, her, herself, girl",
    "3: Lucy, she, her, her, herself, girl",
    "2: Molly, she, her, her, herself, girl",
    "2: Zoe, she, her, her, herself, girl",
    "2: Nina, she, her, her, herself, girl",
    "2: Ruby, she, her, her, herself, girl",
    "Ivy, she, her, her, herself, girl",
    "Clara, she, her, her, herself, girl",
    "Alice, she, her, her, herself, girl",
    "Maya, she, her, her, herself, girl",
    "Ella, she, her, her, herself, girl",
    "Rosa, she, her, her, herself, girl",
    "Tara, she, her, her, herself, girl",
    "3: Tom, he, him, his, himself, boy",
    "3: Ben, he, him, his, himself, boy",
    "3: Max, he, him, his, himself, boy",
    "3: Sam, he, him, his, himself, boy",
    "3: Jack, he, him, his, himself, boy",
    "3: Leo, he, him, his, himself, boy",
    "2: Finn, he, him, his, himself, boy",
    "2: Oscar, he, him, his, himself, boy",
    "2: Adam, he, him, his, himself, boy",
    "2: Toby, he, him, his, himself, boy",
    "Noah, he, him, his, himself, boy",
    "Hugo, he, him, his, himself, boy",
    "Peter, he, him, his, himself, boy",
    "Omar, he, him, his, himself, boy",
    "Carlos, he, him, his, himself, boy",
    "Kofi, he, him, his, himself, boy",
    "Felix, he, him, his, himself, boy",
    NULL};

static const char *const critter[] = {
    ("name, kind, he, him, his, self, home, call={*.name}, hobby=[critter_hobby], "
    "living=[critter_living], friend=[critter_friend], to=[critter_to], at=[critter_at], "
    "newcomer=[critter_newcomer], indoors=in the {A.home}, plot=[any_plot], crowd=animals"),
    "3: Pip, rabbit, he, him, his, himself, burrow",
    "3: Hazel, squirrel, she, her, her, herself, hole in a tree",
    "3: Bruno, bear, he, him, his, himself, cave",
    "3: Rusty, fox, he, him, his, himself, den",
    "3: Tilly, mouse, she, her, her, herself, hole in the wall",
    "3: Pearl, duck, she, her, her, herself, nest",
    "2: Prickle, hedgehog, he, him, his, himself, pile of leaves",
    "2: Olive, owl, she, her, her, herself, hollow tree",
    "2: Hopper, frog, he, him, his, himself, house of reeds",
    "2: Otto, otter, he, him, his, himself, den",
    "2: Willow, deer, she, her, her, herself, bed of moss",
    "Shelly, turtle, she, her, her, herself, house of stones",
    "Digby, mole, he, him, his, himself, tunnel",
    "Nutmeg, chipmunk, she, her, her, herself, burrow",
    "Barney, badger, he, him, his, himself, den",
    "Dotty, ladybug, she, her, her, herself, nest",
    "Chester, crow, he, him, his, himself, nest",
    "Penny, hen, she, her, her, herself, nest",
    "Gus, goose, he, him, his, himself, hut",
    "Bella, beaver, she, her, her, herself, hut",
    NULL};

static const char *const elder[] = {
    "noun, call, he, him, his, name={A.his} {*.noun}",
    "6: mom, Mom, she, her, her",
    "4: dad, Dad, he, him, his",
    "3: grandma, Grandma, she, her, her",
    "3: grandpa, Grandpa, he, him, his",
    "aunt, Auntie, she, her, her",
    NULL};

static const char *const kplace[] = {
    "noun, pre, the=the [place_look]{*.noun}, at={*.pre} {*.the}",
    "2: park, in",
    "2: garden, in",
    "playground, at", "lake, by", "farm, at", "hill, on",
    "field, in",
    "beach, at",
    "river, by", "mill, at", "barn, at", "apple trees, under", "zoo, at",
    "library, by",
    "market, at",
    "harbor, by", "school yard, in", "fountain, by", NULL};

static const char *const wplace[] = {
    "noun, pre, the=the [place_look]{*.noun}, at={*.pre} {*.the}",
    "2: meadow, in",
    "2: pond, by",
    "forest, in", "stream, by", "oak tree, by", "valley, in",
    "lake, by",
    "rock, by",
    "waterfall, by", "hill, on", "bridge, by", "swamp, by", "clearing, in",
    "berry bushes, by",
    "beaver dam, by",
    "cliff, under",
    NULL};

/* in: where something lies or someone sits. */
static const char *const spot[] = {
    "in",
    "2: (under|behind|next to|near) %[spot_look]bush",
    "2: (behind|next to|near) %[spot_look]rock",
    "2: (under|behind|next to|near) %[spot_look]tree",
    "(behind|next to|near) %[spot_look]log",
    "(under|behind|next to|near) %[spot_look]bench",
    "(behind|next to|near) %[spot_look]fence",
    "(behind|next to|near) %[spot_look]wall",
    "(behind|next to|near) %[spot_look]gate",
    "in the (tall|long|soft|wet) grass",
    "(on|next to|near) the (sandy|narrow|stony) path",
    "(by|near) the (clear|cold|still) water",
    NULL};

static const char *const nature[] = {
    "word",
    "2: kind", "2: brave", "curious", "cheerful", "clever", "gentle", "funny", "shy", "busy",
    "friendly", "quiet", "lively", "helpful", "polite", "patient", "playful", "careful", "smart",
    "sweet", "silly", "lucky", "strong", "thoughtful", NULL};

static const char *const khobby[] = {
    "inf",
    "play outside", "draw pictures", "read books", "sing", "make mud pies", "ride {A.his} bike",
    "look at the stars", "watch the ants", "help in the garden", "play with {A.his} friends",
    "tell jokes", "jump in puddles", "build things", "feed the birds", "collect stones",
    "collect leaves", "bake cookies", "play hide and seek", "make paper boats", "watch the birds",
    "play the drum", "run very fast", "count the clouds", "write letters", NULL};

static const char *const whobby[] = {
    "inf",
    "play in the grass", "look for berries", "sing in the morning", "sleep in the sun",
    "chase butterflies", "splash in the water", "explore the woods", "listen to the wind",
    "roll down the hill", "collect nuts", "count the clouds", "dig holes", "tell stories",
    "watch the moon", "hide in the leaves", "run in the rain", "dance with the bees",
    "jump over logs", "smell the flowers", "make new friends", "float on the pond",
    "walk in the moonlight", NULL};

static const char *const hue[] = {
    "name",
    "red", "blue", "yellow", "green", "purple", "orange", "pink", "white", "brown", "black", "gray",
    "golden", "silver", "violet", "beige", "dark blue", "light green", NULL};

/* Small things that are found, given and kept in a pocket. */
static const char *const thing[] = {
    "noun",
    "button", "shell", "key", "feather", "spoon", "ribbon", "coin", "stone", "leaf", "bell", "cup",
    "ring", "marble", "stick", "pencil", "sock", "candle", "pebble", "brush", "map", "mitten",
    "flag", "acorn", "pinecone", "penny", "bead", "whistle", "mirror", "nut", "cork", "hook",
    "needle", "spool", "thimble", "fork", "letter", "stamp", "card", "picture", "block", "puzzle",
    "purse", "glove", "nail", "chestnut", "crayon", NULL};

static const char *const object[] = {
    "noun",
    "bottle", "box", "basket", "lantern", "rope", "wheel", "bucket", "plate", "jar", "tray", "pan",
    "kettle", "clock", "book", "trumpet", "violin", "bag", "shoe", "umbrella", "pillow", "chair",
    "ladder", "hammer", "saw", "broom", "flowerpot", "snowball", "barrel", "suitcase", "blanket",
    "teapot", "oar", "table", "carpet", "wagon", "sled", NULL};

/* Animals that are seen on the way. did: alone; do: many of them. */
static const char *const creature[] = {
    "noun, many, did",
    "bird, birds, (sang|hopped about|built a nest)",
    "butterfly, butterflies, (danced|flew around|rested)",
    "bumblebee, bumblebees, (buzzed|flew around|looked for honey)",
    "squirrel, squirrels, (ate a nut|ran up and down|jumped about)",
    "snail, snails, (crawled|slept|looked around)",
    "frog, frogs, (croaked|jumped about|sat very still)",
    "beetle, beetles, (crawled|climbed up and down|looked around)",
    "cat, cats, (slept|played|sat very still)",
    "mouse, mice, (ate a nut|ran around|hid)",
    "goose, geese, (walked around|ate grass|rested)",
    "pony, ponies, (ate grass|ran around|rested)",
    "goat, goats, (ate grass|jumped about|looked around)",
    "cow, cows, (ate grass|slept|walked around)",
    "hen, hens, (ran around|looked for seeds|sat very still)",
    "lizard, lizards, (ran up and down|rested|looked around)",
    "ladybug, ladybugs, (crawled|climbed up and down|rested)",
    "pigeon, pigeons, (flew around|looked for seeds|slept)",
    "rabbit, rabbits, (ate grass|hopped about|sat very still)",
    "sheep, sheep, (ate grass|rested|walked around)",
    "turtle, turtles, (crawled|rested|swam around)",
    "fish, fish, (swam around|jumped|slept)",
    "moth, moths, (danced|flew around|slept)",
    "worm, worms, (crawled|hid|slept)",
    "hedgehog, hedgehogs, (slept|hid|looked around)",
    "spider, spiders, (danced|climbed up and down|hid)",
    "crab, crabs, (crawled|hid|slept)",
    "swan, swans, (swam around|rested|sang)",
    "parrot, parrots, (sang|flew around|sat very still)",
    "seagull, seagulls, (flew around|rested|looked for fish)",
    "piglet, piglets, (ran around|slept|looked for nuts)",
    "horse, horses, (ran around|ate grass|rested)",
    "kitten, kittens, (played|slept|rolled around)",
    "puppy, puppies, (played|ran around|rolled around)",
    "lamb, lambs, (jumped about|played|ate grass)",
    "woodpecker, woodpeckers, (built a nest|climbed up and down|hid)",
    "grasshopper, grasshoppers, (jumped about|sang|rested)",
    "dragonfly, dragonflies, (danced|flew around|rested)",
    "bat, bats, (flew around|slept|hid)",
    "peacock, peacocks, (danced|walked around|rested)",
    "donkey, donkeys, (ate grass|slept|sat very still)",
    NULL};

static const char *const food[] = {
    "some",
    "(|warm |fresh |soft )bread", "(|yellow |soft |salty )cheese", "(|sweet |golden )honey",
    "(|red |green |sweet |crunchy )apples",
    "(|sweet |red |wild |ripe )berries", "(|crunchy |salty )nuts",
    "(|crunchy |sweet |small )carrots", "(|hot |thick |warm )soup",
    "(|sweet |warm |crunchy )cookies", "(|purple |green |sweet )grapes",
    "(|ripe |sweet |purple )plums", "(|cold |warm |fresh )milk", "(|soft |sweet |warm )cake",
    "(|warm |sticky )rice", "(|ripe |juicy |yellow )pears", "(|hot |warm |yellow )corn",
    "(|red |ripe |sweet )cherries", "(|warm |thin |sweet )pancakes", "(|hot |long |thin )noodles",
    "(|hot |sweet |warm )tea", "(|cold |sweet |fresh )juice", "(|hot |salty |soft )potatoes",
    "(|sweet |sticky |soft )jam", "(|red |ripe |small )tomatoes", "(|warm |thick )porridge",
    "(|sweet |soft |ripe )peaches", "(|warm |fresh |salty )popcorn", "(|sweet |cold |soft )pudding",
    "(|green |fresh |soft )peas",
    "(|green |crunchy |fresh )cucumbers",
    "(|warm |salty |soft )dumplings", "(|hot |sweet |thick )cocoa", "(|salty |fresh |warm )fish",
    "(|sweet |juicy |ripe )oranges", "(|sweet |sticky |dry )figs", "(|soft |salty |fresh )butter",
    "(|warm |soft |fresh )buns", "(|hot |crunchy |warm )toast", "(|warm |soft )eggs",
    "(|juicy |sweet |yellow )lemons", NULL};

static const char *const wear[] = {
    "noun",
    "hat", "coat", "scarf", "sweater", "jacket", "belt", "ribbon", "bow tie", "vest", "cape",
    "backpack", "bonnet", "shirt", "shawl", NULL};

static const char *const color[] = {
    "name",
    "2: red", "2: blue", "yellow", "green", "purple", "orange", "pink", "white", "brown", "black",
    NULL};

static const char *const toy[] = {
    "noun, act",
    "2: ball, (bounce it up and down|throw it high|roll it around)",
    "2: kite, (watch it dance in the wind|run with it|make it fly high)",
    "toy car, (drive it round and round|race it down the path|push it up and down)",
    "teddy bear, (hug it|tell it stories|have tea with it)",
    "toy boat, (let it float in the water|make it sail far away)",
    "doll, (sing songs to it|tell it stories|dress it up)",
    "drum, (make a lot of noise with it|play loud songs on it)",
    "puppet, (make it dance|make it talk|put on shows with it)",
    "toy train, (push it along|make it go fast)",
    "spinning top, (watch it spin|make it go fast)",
    "robot, (make it walk|make it talk)",
    "toy plane, (make it fly high|run with it)",
    "yo-yo, (swing it around|play with it)",
    "sailboat, (let it float in the water|make it sail far away)",
    "rag doll, (hug it|dress it up)",
    "scooter, (ride it|race down the path with it)",
    "pinwheel, (watch it spin|run with it)",
    "hoop, (roll it around|jump through it)",
    "flute, (play soft songs on it|play it for the birds)",
    "wooden horse, (ride it|make it jump)",
    NULL};

static const char *const treat[] = {
    "noun, taste",
    "cookie, (sweet|crunchy|warm)",
    "apple, (juicy|sweet|crunchy)",
    "cake, (soft|sweet|fresh)",
    "sandwich, (tasty|fresh|big)",
    "pear, (ripe|juicy|sweet)",
    "pie, (warm|sweet|fresh)",
    "muffin, (fresh|warm|soft)",
    "bun, (warm|soft|sweet)",
    "peach, (juicy|ripe|sweet)",
    "pancake, (golden|warm|thin)",
    "pretzel, (salty|crunchy|warm)",
    "melon, (juicy|sweet|big)",
    NULL};

static const char *const gift[] = {
    "noun, a, stuff, looked, used",
    "card, a card, paper and paint, bright and colorful, read it two times",
    "picture, a picture, crayons and paper, bright and happy, hung it on the wall",
    "necklace, a necklace, shells and string, shiny and pretty, put it on right away",
    "crown, a crown, flowers and leaves, very pretty, put it on {G.his} head",
    "scarf, a scarf, soft wool, warm and soft, put it around {G.his} neck",
    "basket, a basket, long dry grass, round and strong, filled it with fruit",
    "hat, a hat, an old blanket and a feather, very funny, wore it all day long",
    "lantern, a lantern, paper and a candle, warm and bright, put it by the window",
    NULL};

/* say: what the friend says; aid: what the hero does; done: how it comes out. */
static const char *const trouble[] = {
    "say, aid, done",
    ("2: I fell down and hurt my foot, washed {B.his} foot with cool water, {B.name} could "
    "stand up again"),
    ("2: My foot is stuck under this log, pushed the log as hard as {A.he} could, the log "
    "rolled away"),
    ("2: I cannot find the way home, took {B.his} hand and walked with {B.him}, they saw "
    "{B.his} home"),
    "2: I dropped all my berries, picked up the berries one by one, the basket was full again",
    "2: My kite is stuck in the tree, climbed up from branch to branch, the kite came down",
    ("2: This bag is too heavy for me, took one side of the bag and lifted it, they had carried "
    "it home"),
    "I lost my warm hat, looked for it high and low, {A.he} saw the hat on a branch",
    NULL};

/* name: what it is; when: what happens then; event: where the friend's toy goes; step: what it
 * takes to get there; got: how the toy comes back. */
static const char *const fear[] = {
    "name, when, event, step, got",
    ("2: the dark, it was night, rolled into a dark cave, walked into the dark cave, came out "
    "with the"),
    ("2: deep water, {A.he} saw a lake, fell into the water, stepped into the cold water, came "
    "back with the"),
    ("2: high places, {A.he} looked down from a hill, got stuck at the top of a tall tree, "
    "began to climb the tall tree, climbed down with the"),
    ("2: loud noises, {A.he} heard a bang, fell next to a loud machine, walked up to the loud "
    "machine, ran back with the"),
    ("2: spiders, {A.he} saw a web, landed behind a big spider web, crawled under the spider "
    "web, crawled out with the"),
    ("the old bridge, {A.he} came near it, landed on the other side of the old bridge, stepped "
    "onto the old bridge, came back with the"),
    NULL};

static const char *const build[] = {
    "noun, a, stuff, better",
    "2: tower, a tall tower, wooden blocks, put the biggest blocks at the bottom",
    "2: castle, a big castle, sand and stones, make the walls thick and strong",
    "2: fort, a secret fort, pillows and blankets, tie the corners with string",
    "2: hut, a little hut, sticks and leaves, push the sticks deep into the ground",
    "2: bridge, a bridge, stones and mud, use the flat stones first",
    "boat, a little boat, wood and rope, make every knot tight",
    NULL};

static const char *const plan[] = {
    "inf",
    "2: have a picnic", "2: pick berries", "2: roll down the hill", "2: swim in the lake",
    "2: fly a kite", "look for shells", NULL};

static const char *const weather[] = {
    "it, start, stop",
    "2: rain, it was raining, the rain stopped",
    "2: storm, there was a big storm, the storm went away",
    "2: wind, a cold wind was blowing, the wind became quiet",
    "fog, there was fog everywhere, the fog went away",
    NULL};

static const char *const indoor[] = {
    "inf, past, more",
    ("2: have the picnic on the floor, put a blanket on the floor and ate together, They ate "
    "(bread and jam|cheese and apples|cake and berries)"),
    "2: build a fort, built a fort with pillows, It had a door and a tiny window",
    "2: tell stories, told stories, One was about (a dragon|a lost star|a silly king)",
    ("2: paint pictures, painted pictures, They used (red and blue|green and yellow|all the "
    "colors)"),
    "2: play hide and seek, played hide and seek, {B.name} was very good at it",
    "2: put on a show, put on a show, They sang and danced and laughed",
    NULL};

static const char *const animal[] = {
    "noun, sound, eats, glad, he=it, his=its",
    "2: kitten, Meow, some milk, began to purr",
    "2: puppy, Woof, some meat, wagged its tail",
    "2: bird, Tweet, some seeds, sang a little song",
    "2: duckling, Quack, some bread, flapped its wings",
    "2: lamb, Baa, some fresh grass, jumped up and down",
    "goat, Maa, a carrot, shook its little beard",
    NULL};

static const char *const fur[] = {
    "name",
    "2: brown", "2: black", "2: white", "gray", NULL};

static const char *const hiding[] = {
    "in",
    "2: a bush", "2: an empty box", "2: behind a wall", "under a bench", "a hole in the ground",
    NULL};

static const char *const petname[] = {
    "name",
    "2: Snow", "2: Lucky", "2: Spot", "Button", "Biscuit", "Star", NULL};

static const char *const fragile[] = {
    "noun, at",
    "2: vase, on the table",
    "2: cup, on the table",
    "2: lamp, by the window",
    "2: plate, on the shelf",
    "2: bowl, on the shelf",
    "jar, by the window",
    NULL};

static const char *const skill[] = {
    "inf, ing, place, fail, tip, did",
    ("2: swim, swimming, pond, swallowed some water, Kick your legs and keep your head up, swam "
    "all the way across the pond"),
    ("2: whistle, whistling, park, made no sound at all, Make your lips very round, whistled a "
    "happy song"),
    ("2: skate, skating, frozen lake, slipped and sat down hard, Bend your knees a little, "
    "skated around in a big circle"),
    ("2: climb a tree, climbing, garden, slid back down, Hold on tight and look up, climbed up "
    "to the highest branch"),
    ("2: catch a ball, catching, field, dropped the ball, Keep your eyes on the ball, caught "
    "the ball ten times"),
    ("2: jump rope, jumping, playground, got stuck in the rope, Listen to the sound of the "
    "rope, jumped twenty times without stopping"),
    ("dance, dancing, school hall, stepped on {A.his} own foot, Listen to the music first, "
    "danced from one side to the other"),
    NULL};

static const char *const game[] = {
    "name",
    "2: hide and seek", "2: tag", "2: catch", "2: hopscotch", "pirates", NULL};

static const char *const plant[] = {
    "noun, big, fruit",
    "2: sunflower, taller than {A.name}, gave some of its seeds to the birds",
    "2: pumpkin, as big as a chair, made a big pot of soup",
    "2: apple tree, taller than {A.name}, picked the first red apples",
    "2: bean plant, higher than the window, cooked the beans for dinner",
    "2: strawberry plant, green and strong, picked a bowl of red berries",
    NULL};

/* What keeps someone awake, and what it was. */
static const char *const shadow[] = {
    "saw, was",
    "2: a big shadow on the wall, a coat on a hook",
    "2: two shiny eyes in the corner, two buttons on a shirt",
    "2: something long and thin by the window, a branch in the wind",
    "2: a dark shape at the end of the bed, a pile of clothes",
    "something round under the chair, an old hat",
    NULL};

/* A strange sound, where it comes from, and what makes it. */
static const char *const noise[] = {
    "sound, from, was",
    "2: Tap - tap - tap, behind the door, a small bird with a nut",
    "2: Scratch - scratch, under the floor, a tiny mouse with a piece of cheese",
    "2: Bump - bump - bump, inside a big box, a hungry kitten",
    "2: Squeak - squeak, the roof, an old wheel in the wind",
    "2: Splash - splash, behind the wall, a fat frog in a bucket",
    "Crunch - crunch, under the bed, a hedgehog with a cookie",
    NULL};

static const char *const lure[] = {
    "noun, it",
    "2: butterfly, flew",
    "2: big balloon, floated",
    "2: tiny dog, ran", "2: shiny beetle, crawled",
    "bird with a long tail, hopped",
    NULL};

static const char *const helper[] = {
    "noun, he, name=the {*.noun}",
    "2: old woman, she",
    "2: kind man, he",
    "2: tall policeman, he", "young woman, she", NULL};

static const char *const baked[] = {
    "noun",
    "2: cake", "2: carrot cake", "2: pie", "apple pie", "honey cake", NULL};

/* L(name): the list is called as its array is. */
#define L(name) {#name, name}

const struct story_list_src stories_lists[] = {
    L(kid), L(critter), L(elder), L(kplace), L(wplace), L(spot), L(color), L(toy), L(treat),
    L(gift), L(trouble), L(fear), L(build), L(plan), L(weather), L(indoor), L(animal), L(petname),
    L(fragile), L(skill), L(game), L(plant), L(shadow), L(noise), L(lure), L(fur), L(nature),
    L(khobby), L(whobby), L(hue), L(thing), L(object), L(creature), L(food), L(wear), L(hiding),
    L(helper), L(baked), {NULL, NULL}};
