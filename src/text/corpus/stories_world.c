/* Plots of weather, plants, strange sounds and the night. stories_grammar.h explains the notation.
 * A is the hero, B the friend, G the grown-up. */
#include "stories_grammar.h"
#include "stories_rules.h"

const struct story_rule_src stories_world[] = {
    /* ---- the weather spoils a plan */
    {"rain",
     "[rain_plan] But (when they woke up|that morning|when they looked outside|on that day), "
     "{w=weather.start}.\n[rain_sad]\n[rain_idea] [rain_fun]\n[rain_end]"},
    {"rain_plan",
     "2:{A.name} was [much](excited|happy). ^{A.he} and {A.his} [dear]friend {A.friend} (wanted"
     "|hoped) to {p=plan.inf} {A.at}.[rain_bag]"
     "|{A.name} and {A.his} [dear]friend {A.friend} had a (good |great |secret |clever |)plan. "
     "They (wanted|hoped) to {p=plan.inf} {A.at}.[rain_bag]"},
    {"rain_bag",
     "| They had [feast] in a bag."
     "| They also (wanted|hoped) to see the [creature_look] {v=creature.many}."
     "| {A.name} had [a_thing] in {A.his} bag."},
    {"rain_sad",
     "(2:`(Now we cannot|Oh no! We cannot) {p.inf},` [sobbed A].|[pre_sad A], `(Now we cannot"
     "|Oh no! We cannot) {p.inf}.`) [sad B]"
     "|[sad A] `I (do not like|hate) this {w.it}. I (wanted|hoped) to {p.inf},` {A.he} said."},
    {"rain_idea",
     "{B.name} (thought for a while|looked at {A.name}|smiled|took out [a_thing]). `(I know|I "
     "have an idea)! We can {I=indoor.inf},` {B.he} said. (2:`(That is a good idea|Yes, let us "
     "do that|That sounds like fun)!` [cried A].|[pre_glad A], `(That is a good idea|Yes, let "
     "us do that|That sounds like fun)!`)"},
    {"rain_fun",
     "(So|And so) they {I.past}(| {A.indoors}). {I.more}. (They laughed all (morning|day). "
     "|)(They had so much fun that they forgot the {w.it}.|It was even better than {A.name} had "
     "thought.)"},
    {"rain_end", "(Later,|At last,|In the afternoon,|Before dinner,) {w.stop}. [rain_after][end]"},
    {"rain_after",
     "(2:`(Look|Oh, look|Look up)!` [cried B].|[pre_glad B], `(Look|Oh, look|Look up)!`) There "
     "was a (big|beautiful|wide) rainbow in the sky."
     "|But {A.name} and {B.name} did not (even see it|stop playing)."
     "|(2:`We can {p.inf} tomorrow,` [said A]. `|[pre A], `We can {p.inf} tomorrow. )Today was "
     "(fun too|perfect|good as it was).`"
     "|They ran out and saw [creatures] [where]."},

    /* ---- a seed takes its time */
    {"seed",
     "[day] {G=elder.name} gave {A.name} a (tiny|small|little|round|strange) seed. "
     "(2:`[seed_advice],` [said G].|[pre G], `[seed_advice].`) {A.name} (dug a hole|made a "
     "hole) {S=spot.in}( with %[hole_tool]|) and put the seed in(3: the ground|). Next to it, "
     "{A.he} put [a_thing](| so that {A.he} could find it again).\n[seed_wait]\n[seed_grow]\n"
     "[seed_end]"},
    {"hole_tool", "spoon|stick|fork|cup|small shovel|flat stone"},
    {"seed_advice",
     "Give it water every day|Plant it and take good care of it"
     "|If you wait, you will see a surprise|It only needs water and sun"
     "|There is something sleeping inside"},
    {"seed_wait",
     "Every (morning|day), {A.name} (gave it water|went to look at it). But nothing (happened"
     "|came up).(| Only [creatures] came by.| There was only grass.) (2:`(Maybe it is a bad "
     "seed|It does not want to grow),` [sobbed A].|[pre_sad A], `(Maybe it is a bad seed|It "
     "does not want to grow).`) (2:`(Be patient|Just wait|Wait a little),` [answered G]. `|[pre "
     "G], `(Be patient|Just wait|Wait a little). )(Good things take time|It is still asleep).`"},
    {"seed_grow",
     "(Then one day|After many days|One rainy morning), {A.name} (saw|noticed|spotted) a (tiny"
     "|little|bright|thin) green (leaf|stem)! [seed_joy] The {J=plant.noun} grew (and grew"
     "|every day|and became strong). Soon it was {J.big}."},
    {"seed_joy", "3:[glad A]|2:(2:`Look, {G.call}!` [cried A].|[pre_glad A], `Look, {G.call}!`)"},
    {"seed_end", "{A.name} and {G.name} {J.fruit}. [seed_came][seed_moral][end_alone]"},
    {"seed_came", "|2:^[creatures] came (to look|to see|over). "},
    {"seed_moral",
     "3:(2:`You (took very good care of it|took such good care of it|did so well|waited so "
     "long),` [answered G].|[pre G], `You (took very good care of it|took such good care of it"
     "|did so well|waited so long).`)"
     "|2:{A.name} (learned|understood|saw|now knew) that (good things take time|it is good to "
     "wait)."
     "|{A.name} gave {A.his} [dear]friend {A.friend} [a_thing] and a new seed.|[glad A]"},

    /* ---- a shadow in the night */
    {"sleep",
     "One (|dark |cold |windy |quiet |long )night, {A.name} (could not sleep|was wide awake"
     "|could not fall asleep).[sleep_tried] Then {A.he} saw {s=shadow.saw}. [sleep_fear]\n"
     "[sleep_call]\n[sleep_light]\n[sleep_end]"},
    {"sleep_tried",
     " ^{A.he} counted [creatures], but it did not help.| ^{A.he} thought about [things]."
     "| ^{A.he} thought about [a_creature]."
     "| The (wind was loud|house was quiet|moon was bright|bed was too warm)."},
    {"sleep_fear",
     "It (looked like|looked just like|seemed to be) (a monster|a wolf|a giant|a ghost|a dragon"
     "|[a_creature]). [sleep_hide]"
     "|2:`(Who is there|What is that)?` [sleep_whisper]. But nobody answered."},
    {"sleep_hide",
     "3:{A.name} (pulled the blanket over {A.his} head|hid under the blanket)."
     "|2:{A.name} was (very|really|quite) (scared|afraid|frightened)."},
    {"sleep_whisper", "whispered {A.name}|{A.he} whispered"},
    {"sleep_call",
     "`{G=elder.call}! {G.call}!` (cried|called|whispered|shouted) {A.name}. ^{G.name} came (at "
     "once|quickly|in)(| with %{x=hue.name} [night_thing]) and (sat down|sat) on the bed. "
     "`(What is wrong|What is it), {A.call}?` {G.he} asked. (2:`There is (something|a monster) "
     "in (here|the dark),` [sobbed A].|[pre_sad A], `There is (something|a monster) in (here"
     "|the dark).`)"},
    {"night_thing", "blanket|candle|lantern|cup of milk|teddy bear|pillow"},
    {"sleep_light",
     "^{G.name} (held up a light|made a light). (They looked together.|{A.name} looked with one "
     "eye.) It was (only|just) {s.was}! (They both laughed.|2:{A.name} had to laugh.|{A.name} "
     "felt a little silly.)"},
    {"sleep_end",
     "^{G.name} (sang a quiet song|told a short story) about [creatures] and [hugged A]. (Soon"
     "|Then) {A.name} was fast asleep. ^{A.he} dreamed (of|about) [dream]."},

    /* ---- a strange sound */
    {"noise",
     "[day] {A.name} and {A.his} [dear]friend {A.friend} were playing {A.at}.[scene_they] They "
     "heard a (strange|funny|scary|loud) sound. `{N=noise.sound}!` It (came|seemed to come) "
     "from {N.from}.\n[noise_talk]\n[noise_go]\n[noise_end]"},
    {"noise_talk",
     "`(What is that|What was that)?` [noise_whisper]. (2:`(Maybe it is|I think it is) (a ghost"
     "|a monster|a dragon),` [answered A].|[pre A], `(Maybe it is|I think it is) (a ghost|a "
     "monster|a dragon).`) [noise_mood]"},
    {"noise_whisper", "whispered {B.name}|asked {B.name}"},
    {"noise_mood",
     "They were (a little scared|scared|very quiet), but they (wanted|hoped) to know."
     "|They were as quiet as [creatures]."
     "|2:{B.name} (wanted|hoped) to (run away|go home), but {A.name} took {B.his} hand."},
    {"noise_go",
     "They (went closer and closer|walked on the tips of their toes|went slowly|took "
     "%{x=hue.name} [noise_tool] and went to look). `{N.sound}!` (There it was again.|Now it "
     "was very loud.) {A.name} counted to (three|four|five|ten) and looked. It was (only|just) "
     "{N.was}!"},
    {"noise_tool", "lantern|candle|stick|broom|umbrella|blanket"},
    {"noise_end",
     "{A.name} and {B.name} (looked at each other|began to laugh|sat down). "
     "[noise_fed][noise_moral][end]"},
    {"noise_fed", "|2:They had [feast] to calm down. |Next to it there were [things]. "},
    {"noise_moral",
     "3:(2:`That is a very (small|funny|nice) (monster|dragon|ghost)!` [cried B].|[pre_glad B], "
     "`That is a very (small|funny|nice) (monster|dragon|ghost)!`)"
     "|2:`I was not scared at all,` [answered B], and they laughed (again|even more)."
     "|They laughed until their bellies hurt."},
    {NULL, NULL}};
