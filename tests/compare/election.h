/*
 * election.h - one election on real engines, under virtual time: five servers whose leader has just
 * died.
 *
 * As in the Raft paper (9.3): the leader has broadcast a heartbeat to all at one moment and dies at
 * a uniformly random moment before its next one (the interval is half of the least election
 * time-out). It is played by the bench, because a real leader would repair logs that are meant to
 * differ. Measured from its death: until the other survivors have heard the new leader (the
 * paper's measure), and until the first new command is committed, which includes what a new leader
 * must repair or adopt. The leaderless engine elects nobody: there it is the time until a command
 * that is proposed at the moment of the death at a random survivor is committed.
 *
 * A client that proposes at a new leader is there at once. Everything follows from the options.
 */
#ifndef SYNOD_TESTS_COMPARE_ELECTION_H
#define SYNOD_TESTS_COMPARE_ELECTION_H

#include "consensus/consensus.h"

enum election_first {
    ELECTION_ANY = 0,     /* whoever's timer runs out first */
    ELECTION_SHORT_FIRST, /* one without the tail stands first: the others wait half as long again
                           */
    ELECTION_LONG_FIRST,  /* one with the tail does */
};

struct election_options {
    const struct engine_ops *engine;
    uint32_t nodes; /* the last one is the leader that dies */
    uint32_t down;  /* so many before it are down for good; they are no survivors */
    uint64_t seed;
    struct consensus_options
        consensus; /* timers and switches; members, seed, trace are filled in */

    /* The network: one way, of any message; answers (votes, promises, acknowledgements) take
     * answer_us more, for what the one who answers does beside its disk. */
    uint64_t way_min_us;
    uint64_t way_max_us;
    uint64_t answer_us;
    uint64_t link_rate; /* bytes a second in and out of a node; 0: any */
    uint32_t loss;      /* percent of messages */
    bool asymmetric;    /* each direction of each link has its delay 1/3 to 3 times that */
    bool one_way;       /* between two random survivors one direction is down */

    uint64_t disk_us; /* of each write, plus its bytes at disk_rate a second; 0: any */
    uint64_t disk_rate;

    /* Logs: four entries that all have and know to be committed, and a tail on some survivors. */
    uint32_t long_nodes; /* how many survivors have the tail; which, is random */
    uint64_t tail;       /* entries */
    size_t tail_bytes;   /* payload of each, 8 at least */
    enum election_first first;

    bool unequal_terms;     /* survivors are in the leader's term and the three after it */
    uint32_t drift_percent; /* each clock runs by a random rate up to so much fast or slow */

    uint32_t clients;  /* leaderless: survivors that propose at the moment of the death */
    bool one_shot;     /* it ends with the first term or ballot round, won or split */
    bool commit;       /* it ends when a new command is committed, else when all know the leader */
    uint64_t limit_us; /* it ends so long after the death */
};

/* Five servers, plain timers of the Raft paper (150 to 300 ms), no pre-vote, no quorum checks, two
 * of four survivors with one entry more than the others, who therefore cannot win in Raft. */
void election_options_init(struct election_options *o, const struct engine_ops *engine);

/* The network and disks by what decides an election. */
struct election_rig {
    uint64_t way_us; /* of a message, 20 % more or less */
    uint64_t
        disk_us; /* of a write: a candidate's term before its requests, a vote before it leaves */
    uint64_t round_us; /* from a time-out to the votes, on average: twice the two, and the rest is
                          what answers take longer than requests */
};
void election_network(struct election_options *o, const struct election_rig *rig);

/* Time-outs from [min_us, min_us + spread_us); 0: all min_us. Heartbeats every min_us / 2. */
void election_timeouts(struct election_options *o, uint64_t min_us, uint64_t spread_us);

/* All switches of the engine as the product has them. */
void election_connected(struct election_options *o);

struct election_result {
    bool elected;     /* and all other survivors have heard so */
    bool committed;   /* a new command */
    bool leader_seen; /* somebody won, heard or not */
    bool broken;      /* a rule of engine_net was broken: see failure */
    uint32_t winner_had_tail;
    uint64_t won_us; /* from the death until the winner had its quorum; as all that follows */
    uint64_t elected_us;
    uint64_t commit_us;
    uint64_t attempts;   /* candidacies under a new term or ballot */
    uint64_t packets;    /* requests for votes sent, and answers that came, until the winner won */
    uint64_t vote_bytes; /* all such messages, until the end */
    uint64_t bytes;      /* all messages until the end */
    uint64_t messages;
    uint64_t rewritten; /* entries put again under another epoch, on all disks, until the end */
    uint64_t written;   /* entries written */
    bool done;          /* set by who keeps results of many */
    char failure[128];
};

void election_run(const struct election_options *o, struct election_result *ret_result);

/* Thesis 9.3: the chance that a vote is split when `survivors` of `nodes` servers draw time-outs
 * from one range and hear of each other's candidacy after `share` of that range. */
double election_split_chance(uint32_t nodes, uint32_t survivors, double share);

#endif
