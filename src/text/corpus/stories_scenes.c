/* What there is to see, hear, eat, find and dream of: sentences that fit into any plot.
 * stories_grammar.h explains the notation. */
#include "stories_grammar.h"
#include "stories_rules.h"

const struct story_rule_src stories_scenes[] = {
    /* ---- phrases */
    {"thing_look", "5:{x=hue.name}|[thing_sort]|6:[thing_sort] {x=hue.name}"},
    {"thing_sort",
     "old|tiny|shiny|round|broken|soft|smooth|wooden|big|heavy|pretty|strange|dusty|rusty|thin"
     "|long|short|flat|new|bent|sparkly|wet|sticky|plain|tall"},
    {"a_thing", "%[thing_look] {m=thing.noun}"},
    {"things",
     "3:[any_thing_m] and [any_thing_n]"
     "|2:[any_thing_m], [any_thing_n] and [any_thing_o]"},
    {"any_thing_m", "%[thing_look] ({m=thing.noun}|{m=object.noun})"},
    {"any_thing_n", "%[thing_look] ({n=thing.noun}|{n=object.noun})"},
    {"any_thing_o", "%[thing_look] ({o=thing.noun}|{o=object.noun})"},
    {"small_things",
     "3:[a_thing] and %[thing_look] {n=thing.noun}"
     "|2:[a_thing], %[thing_look] {n=thing.noun} and %[thing_look] {o=thing.noun}"},
    {"an_object", "%[thing_look] {m=object.noun}"},
    {"creature_look", "3:{x=hue.name}|3:[creature_sort]|6:[creature_sort] {x=hue.name}"},
    {"creature_sort",
     "small|big|fat|tiny|funny|sleepy|happy|busy|hungry|young|quiet|strange|noisy|proud|muddy"
     "|gentle|lazy|clever|thirsty|grumpy|fluffy|friendly|lonely|old"},
    {"a_creature", "%[creature_look] {u=creature.noun}"},
    {"creatures", "(two|three|four|five|six|ten|some|many) [creature_look] {v=creature.many}"},
    {"feast", "{q=food.some} and {r=food.some}|2:{q=food.some}, {r=food.some} and {t=food.some}"},
    {"place_look",
     "3:|old |quiet |big |little |green |sunny |wide |pretty |far |windy |shady |busy |lovely "
     "|muddy "},
    {"dear", "3:|best |dear |old |good |little |funny |clever |new "},
    {"spot_look", "3:|old |big |small |tall |low |broken |green "},
    {"where",
     "2:(near|by|behind|under) the (old|big|green|little|round|crooked) (tree|bush|fence|bridge"
     "|gate|rock|sign)"
     "|in the (tall |wet |cool |soft )(grass|sand|shade|leaves|moss)"
     "|on the (long |sandy |narrow |old )(path|road|log)"},
    {"dream",
     "2:[a_creature] (who|that) (could|wanted to|liked to) (talk|sing|fly|dance|swim|drive a "
     "car|read books|bake cookies)|[things]|[creatures]"
     "|%(house|castle|boat|hill|garden) (made|full) of [feast]"},

    /* ---- small talk between A and B */
    {"chat",
     ""
     "| (2:`[chat_ask]` [asked B].|[pre_ask B], `[chat_ask]`) (2:`[chat_tell],` [answered A]."
     "|[pre A], `[chat_tell].`)"
     "| (2:`[chat_ask]` [asked A].|[pre_ask A], `[chat_ask]`) (2:`[chat_tell],` [answered B]."
     "|[pre B], `[chat_tell].`)"},
    {"chat_ask",
     "What did you do today?|How was your morning?|What did you dream last night?|What is new?"
     "|Tell me something!"},
    {"chat_tell",
     "I had [feast]|I (saw|met|fed) [creatures]( [where]|)|I (found|lost|made|bought) [things]"
     "|I dreamed of [dream]"
     "|I (saw|met|fed) [a_creature] and [creatures]"},

    /* ---- sentences; they begin with a blank and are often left out */
    {"scene",
     "3: [scene_seen]|2: ^[a_creature] {u.did} [where].|2: [scene_nature]"
     "|4: [scene_nature] [scene_seen]"},
    {"scene_seen",
     "2:^{A.he} (saw|watched|counted|passed|met) [creatures]( [where]|)."
     "|^{A.he} (saw|found|passed) [a_thing] [where]."
     "|2:^{A.he} said hello to [a_creature](| and [creatures]).|There were [creatures] [where]."},
    {"scene_nature",
     "The sun was (warm|bright|high|low)( and the wind was (soft|cool|fresh|quiet)|)."
     "|The sky was (blue|clear|full of clouds)( and the grass was (green|tall|wet|soft)|)."
     "|The air smelled of (flowers|rain|grass|apples|the sea|wet leaves|honey)."
     "|^{x=hue.name} and {y=hue.name} flowers grew [where]."},
    {"thought",
     " ^{A.he} thought (of|about) [things]."
     "| ^{A.he} (hummed|sang) a song about [creatures]."},
    {NULL, NULL}};
