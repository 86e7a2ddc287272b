/* Rules that every plot shares: openings, endings, feelings, tags of dialogue, places.
 * stories_grammar.h explains the notation. Optional parts bring their own leading blank. */
#include "stories_grammar.h"
#include "stories_rules.h"

const struct story_rule_src stories_common[] = {
    {"story", "[opening]\n{A.plot}\n"},

    /* ---- openings */
    {"opening",
     "6:Once upon a time, (2:there was|there lived) %[trait] [hero_kind] (named|called) "
     "{A.name}.[about]"
     "|2:There once (was|lived) %[trait] [hero_kind] named {A.name}.[about]"
     "|3:[hero_name] was %[trait] {A.kind}.[about]"
     "|2:In a (small|quiet|pretty|far away) (village|town|valley), there was %[trait] "
     "[hero_kind] named {A.name}.[about]"},
    {"hero_kind", "2:{A=kid.kind}|{A=critter.kind}"},
    {"hero_name", "2:{A=kid.name}|{A=critter.name}"},
    {"trait", "4:little|young|5:{j=nature.word}|2:{j=nature.word} little|2:{j=nature.word} young"},
    {"about",
     "3: [loved]|2: [loved] [lived]| [lived] [wore]|2: [lived] [loved]| [liked_by]"
     "|3: [loved] [wore]|2: [wore]|2: [favorite]|2: [wore] [favorite]|2: [liked_by] [favorite]"
     "|2: [loved] [favorite]"},
    {"loved", "^[who A] (2:loved|liked) to {A.hobby}."},
    {"lived", "^[who A] lived {A.living}."},
    {"liked_by",
     "Everyone (liked|loved) {A.him} because {A.he} was (always|so|very) {k=nature.word}( and "
     "{l=nature.word}|)."},
    {"wore",
     "^{A.he} always wore %{x=hue.name} {c=wear.noun}( and %{y=hue.name} {d=wear.noun}|)."},
    {"favorite",
     "^{A.his} favorite (food was {e=food.some}|foods were {e=food.some} and {g=food.some})."
     "|^{A.he} kept [small_things] in {A.his} pocket."},
    {"kid_hobby", "{h=khobby.inf}(2:| and {i=khobby.inf})"},
    {"critter_hobby", "{h=whobby.inf}(2:| and {i=whobby.inf})"},
    {"kid_living",
     "with {A.his} (mom and dad|mom|dad|grandma|aunt|family)"
     "|2:in %(small|yellow|white|old|blue|tall|cozy) house (by the sea|near the woods|on a hill"
     "|at the end of a road|next to a farm)"},
    {"critter_living",
     "3:in %(cozy|warm|small|dry|deep) {A.home} (in the forest|near the river|under the hill"
     "|behind the mill|at the end of the meadow)"
     "|with {A.his} family in %(cozy|warm|small) {A.home}"},

    /* ---- worlds: the friend, the place, a newcomer */
    {"kid_friend", "{B=kid.name}"},
    {"critter_friend", "{B=critter.name} the {B.kind}"},
    {"kid_to", "to {P=kplace.the}"},
    {"critter_to", "to {P=wplace.the}"},
    {"kid_at", "{P=kplace.at}"},
    {"critter_at", "{P=wplace.at}"},
    {"kid_newcomer",
     "%[newcomer_look] {B=kid.kind} named {B.name} (moved into the house next door|came to the "
     "school)"},
    {"critter_newcomer",
     "%[newcomer_look] {B=critter.kind} named {B.name} came to live in the forest"},
    {"newcomer_look", "2:new|little|young|quiet"},
    {"any_plot",
     "6:[lost]|5:[gift]|5:[hurt]|4:[brave]|5:[share]|5:[build]|4:[rain]|4:[newcomer]|4:[quarrel]"
     "|4:[seed]|3:[sleep]|3:[race]|4:[noise]"},
    {"kid_plot", "10:[any_plot]|2:[meet]|[broke]|2:[learn]|[gone]|[bake]"},
    {"day",
     "3:One (2:day|morning|afternoon),"
     "|3:One [day_look] (day|morning|afternoon),"
     "|4:It was %[day_look] (|spring |summer |autumn |winter )(day|morning|afternoon) when"},
    {"day_look", "sunny|warm|bright|cool|quiet|fine|clear|lovely|windy|busy"},

    /* ---- people; * is the one meant */
    {"who", "{*.name}|{*.he}"},
    {"said", "3:said {*.name}|2:{*.name} said|4:said {*.name} [gently]|2:{*.name} said [gently]"},
    {"gently",
     "softly|quietly|kindly|gently|slowly|with a smile|with a nod|after a while|in a low voice"
     "|at last|very politely|with a wink|in a soft voice|thoughtfully"},
    {"asked", "3:asked {*.name}|2:{*.name} asked|3:asked {*.name} [gently]|wondered {*.name}"},
    {"cried",
     "2:cried {*.name}|2:shouted {*.name}|2:called {*.name}|4:said {*.name} [happily]"
     "|{*.name} said [happily]|laughed {*.name}"},
    {"yelled",
     "2:cried {*.name}|2:shouted {*.name}|2:called {*.name}|{*.name} shouted|yelled {*.name}"},
    {"pre_yell",
     "^{*.name} (jumped up|turned around|stamped {*.his} foot|took a step back|threw up {*.his} "
     "arms|turned red) and (shouted|cried|called)|^{*.name} (shouted|cried|called out)"},
    {"happily",
     "happily|loudly|at once|with joy|with a laugh|with a big smile|with bright eyes|very loudly"
     "|cheerfully|with a little dance"},
    {"sobbed",
     "2:said {*.name} [sadly]|cried {*.name}|sobbed {*.name}|sighed {*.name}"
     "|{*.name} said [sadly]|whispered {*.name}"},
    {"sadly",
     "sadly|quietly|in a small voice|with a sigh|with tears in {*.his} eyes|and looked down"
     "|with a long face|and wiped {*.his} nose"},
    {"answered",
     "2:said {*.name}|2:{*.name} answered|4:said {*.name} [gently]|answered {*.name}"
     "|{*.name} said [gently]"},
    {"pre", "^{*.name} [pre_how] and (2:said|answered)|^{*.name} said"},
    {"pre_how",
     "smiled|nodded|looked up|came closer|laughed|thought for a moment|sat down|waited a little"
     "|scratched {*.his} nose|took a deep breath|looked around|tilted {*.his} head"},
    {"pre_ask", "^{*.name} [pre_ask_how] and asked|^{*.name} asked"},
    {"pre_ask_how",
     "looked up|came closer|stopped|waited|looked around|sat down|smiled|was surprised"},
    {"pre_glad",
     "^{*.name} [pre_glad_how] and (2:shouted|cried|called)|^{*.name} (called out|shouted)"},
    {"pre_glad_how",
     "jumped up|laughed|clapped {*.his} hands|turned around|smiled|threw up {*.his} arms"
     "|took a big breath|ran in a circle"},
    {"pre_sad", "^{*.name} [pre_sad_how] and (2:said|whispered)|^{*.name} whispered"},
    {"pre_sad_how",
     "looked down|wiped {*.his} eyes|sighed|looked away|shook {*.his} head|sat very still"
     "|swallowed hard|made a long face"},
    {"went", "2:went|walked|ran|skipped|hurried|wandered|hopped|marched|strolled"},
    {"glad",
     "2:{*.name} was [much](happy|glad|proud|pleased|thankful|cheerful)."
     "|2:{*.name} felt (happy|warm|proud|light|wonderful|good) inside."
     "|2:{*.name} (jumped up and down|clapped {*.his} hands|laughed out loud|danced around|spun "
     "around|hummed a song|shouted) with joy."
     "|{*.name} had the (biggest|widest|warmest|happiest) smile."
     "|2:{*.name} was as (happy|proud|cheerful|lively) as %[creature_look] {u=creature.noun}."},
    {"sad",
     "2:^[who *] was [much](sad|upset|unhappy|worried)."
     "|2:^[who *] felt (like crying|all alone|cold inside|small and sad)."
     "|2:^[who *] (began to cry|hung {*.his} head|wanted to hide|stood very still|made a long "
     "face)."
     "|(A tear|A big tear|Two tears) ran down {*.his} (face|cheek|nose|chin)."
     "|^[who *] was as (quiet|sad|still|pale) as %[creature_look] {u=creature.noun}."},
    {"much", "2:|2:very |2:so |really |quite |very, very "},
    {"idea",
     "3:Then {*.he} had %(|good |great |clever |funny )idea."
     "|{*.name} thought (for a while|very hard|and thought)."},
    {"do_not_cry",
     "2:Do not worry|2:Do not cry|It is all right|Do not be sad|Dry your tears|Cheer up"},
    {"thanks", "3:Thank you|2:Thank you so much|Oh, thank you|Thank you very much"},
    {"good_friend",
     "3:You are (a good|a true|the best|a wonderful|a great) friend"
     "|2:You are so (kind|nice|good|sweet)|I am lucky to have you"},
    {"hugged", "3:gave {*.him} a (big|warm|tight|long) hug|hugged {*.him}|held {*.him} close"},
    {"later", "2:Soon,|After a while,|A little later,|At last,|2:Then|In the end,"},

    /* ---- endings; a plot chooses those that suit it */
    {"end",
     "2:|2: [end_day]|2: [end_friends]|3: [end_feast]|2: [end_dream]| [end_feast] [end_dream]"
     "|2: And (2:they all|{A.name} and {B.name}) lived happily ever after."},
    {"end_alone",
     "2:|2: [end_day]|3: [end_dream]|3: [end_food]| [end_food] [end_dream]"
     "| And {A.name} (lived happily ever after|never forgot that day)."},
    {"end_day",
     "2:That night, {A.name} (fell asleep|went to bed) with a (2:|big |happy |tired )smile( on "
     "{A.his} face|)."
     "|It was (a wonderful|a very good|the best|a lovely) day."
     "|^{A.he} could not wait for the next day."},
    {"end_friends",
     "2:From that day on, {A.name} and {B.name} were (best|good|very good|close) friends."
     "|{A.name} and {B.name} (played together|met|laughed together) every day after that."
     "|2:The next day, {B.name} (gave {A.name}|brought {A.name}) [things]."},
    {"end_feast", "(Then|Later|In the evening) they (had|shared|enjoyed) [feast]."},
    {"end_food", "For dinner, {A.name} had [feast]."},
    {"end_dream", "That night, {A.name} dreamed (of|about) [dream]."},
    {NULL, NULL}};
