{{ config(materialized='incremental') }}

{%- set pool = [
    'billing_month', 'payer_account_id', 'usage_account_id', 'region_code',
    'instance_family', 'usage_hour', 'host_pool',
] %}

with

shared as (

    select * from {{ ref('int_bill_lines__shared') }}

),

known_hosts as (

    select * from {{ ref('stg_cur__dedicated_hosts') }}

),

-- Of the catalogue and of no month: rendered as it is, without the batch's window.
catalogue as (

    select * from {{ ref('ec2_instance_types').render() }}

),

families as (

    select
        split_part(instance_type, '.', 1) as instance_family,
        max(vcpu)::bigint as largest_vcpu,
        max_by(instance_type, {{ pair('vcpu', 'instance_type') }}) as largest_type
    from catalogue
    group by split_part(instance_type, '.', 1)

),

hosts as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        instance_family,
        usage_hour,
        host_id,
        max(usage_type_prefix) as usage_type_prefix,
        least(sum(usage_seconds), 3600)::bigint as host_seconds,
        {% for basis in bases() -%}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from shared
    where role = 'host'
    group by
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        instance_family,
        usage_hour,
        host_id

),

instances as (

    select
        shared.billing_month,
        shared.payer_account_id,
        shared.usage_account_id,
        shared.region_code,
        shared.instance_family,
        shared.usage_hour,
        shared.instance_id,
        (
            coalesce(max(catalogue.vcpu), max(shared.billed_vcpu), 1)
            * sum(shared.usage_seconds)
        )::bigint as vcpu_seconds
    from shared
    left join catalogue on shared.instance_type = catalogue.instance_type
    where shared.role = 'instance_on_host' and shared.usage_seconds > 0
    group by
        shared.billing_month,
        shared.payer_account_id,
        shared.usage_account_id,
        shared.region_code,
        shared.instance_family,
        shared.usage_hour,
        shared.instance_id

),

---------- which host: as EC2 or a file says, else all hosts of the family together

placed_instances as (

    select
        instances.*,
        hosts.host_id as known_host_id
    from instances
    left join known_hosts
        on
            instances.billing_month = known_hosts.billing_month
            and instances.instance_id = known_hosts.instance_id
    left join hosts
        on
            known_hosts.billing_month = hosts.billing_month
            and known_hosts.host_id = hosts.host_id
            and instances.payer_account_id = hosts.payer_account_id
            and instances.usage_hour = hosts.usage_hour

),

occupied as (

    select distinct
        billing_month,
        payer_account_id,
        usage_hour,
        known_host_id
    from placed_instances
    where known_host_id is not null

),

capacities as (

    select
        billing_month,
        host_id,
        max(total_vcpus)::bigint as total_vcpus
    from known_hosts
    group by billing_month, host_id

),

pooled_hosts as (

    select
        hosts.*,
        case when occupied.known_host_id is null then 'any' else hosts.host_id end
            as host_pool,
        capacities.total_vcpus,
        families.largest_vcpu,
        families.largest_type
    from hosts
    left join occupied
        on
            hosts.billing_month = occupied.billing_month
            and hosts.payer_account_id = occupied.payer_account_id
            and hosts.usage_hour = occupied.usage_hour
            and hosts.host_id = occupied.known_host_id
    left join capacities
        on
            hosts.billing_month = capacities.billing_month
            and hosts.host_id = capacities.host_id
    left join families on hosts.instance_family = families.instance_family

),

-- An instance on another account's host (shared by AWS RAM) joins that host's pool.
pooled_instances as (

    select
        placed_instances.billing_month,
        placed_instances.payer_account_id,
        coalesce(hosts.usage_account_id, placed_instances.usage_account_id)
            as usage_account_id,
        coalesce(hosts.region_code, placed_instances.region_code) as region_code,
        coalesce(hosts.instance_family, placed_instances.instance_family)
            as instance_family,
        placed_instances.usage_hour,
        coalesce(placed_instances.known_host_id, 'any') as host_pool,
        placed_instances.instance_id,
        placed_instances.usage_account_id as instance_account_id,
        placed_instances.vcpu_seconds
    from placed_instances
    left join hosts
        on
            placed_instances.billing_month = hosts.billing_month
            and placed_instances.payer_account_id = hosts.payer_account_id
            and placed_instances.usage_hour = hosts.usage_hour
            and placed_instances.known_host_id = hosts.host_id

),

used as (

    select
        {% for key in pool %}{{ key }},
        {% endfor -%}
        sum(vcpu_seconds) as vcpu_seconds
    from pooled_instances
    group by {{ pool | join(', ') }}

),

-- No more hosts of a pool are in use than its instances fill: the others are empty.
ranked_hosts as (

    select
        pooled_hosts.*,
        coalesce(used.vcpu_seconds, 0) as used_vcpu_seconds,
        sum(coalesce(pooled_hosts.total_vcpus, pooled_hosts.largest_vcpu, 0) * host_seconds)
            over (
                partition by
                    {% for key in pool -%}
                    pooled_hosts.{{ key }}{{ ',' if not loop.last }}
                    {% endfor %}
                order by pooled_hosts.host_id
                rows unbounded preceding
            )
        - coalesce(pooled_hosts.total_vcpus, pooled_hosts.largest_vcpu, 0) * host_seconds
            as vcpu_seconds_before
    from pooled_hosts
    left join used
        on
            {% for key in pool -%}
            {{ same('pooled_hosts.' ~ key, 'used.' ~ key) }}{{ ' and' if not loop.last }}
            {% endfor %}

),

used_hosts as (

    select * from ranked_hosts
    where
        used_vcpu_seconds > 0
        and (vcpu_seconds_before = 0 or vcpu_seconds_before < used_vcpu_seconds)

),

used_pools as (

    select
        {% for key in pool %}{{ key }},
        {% endfor -%}
        max(usage_type_prefix) as usage_type_prefix,
        max(largest_type) as largest_type,
        min(host_id) as first_host_id,
        -- Only where every host's capacity is known is a part of one known to be empty.
        case
            when count(total_vcpus) = count(*) then sum(total_vcpus * host_seconds)
        end as capacity_seconds,
        max(used_vcpu_seconds) as used_vcpu_seconds,
        least(sum(host_seconds), 3600)::bigint as host_seconds,
        {% for basis in bases() -%}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from used_hosts
    group by {{ pool | join(', ') }}

),

claims as (

    select
        {% for key in pool %}used_pools.{{ key }},
        {% endfor -%}
        used_pools.usage_type_prefix,
        pooled_instances.instance_account_id as claimant_account_id,
        pooled_instances.instance_id as claimant,
        null::string as claimant_type,
        false as is_left,
        pooled_instances.vcpu_seconds as weight,
        0::bigint as left_seconds,
        {% for basis in bases() -%}
        used_pools.{{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from used_pools
    inner join pooled_instances
        on
            {% for key in pool -%}
            {{ same('used_pools.' ~ key, 'pooled_instances.' ~ key) }}
            {{- ' and' if not loop.last }}
            {% endfor %}
    union all
    select
        {% for key in pool %}{{ key }},
        {% endfor -%}
        usage_type_prefix,
        usage_account_id as claimant_account_id,
        first_host_id as claimant,
        largest_type as claimant_type,
        true as is_left,
        greatest(coalesce(capacity_seconds, 0) - used_vcpu_seconds, 0)::bigint as weight,
        host_seconds as left_seconds,
        {% for basis in bases() -%}
        {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from used_pools

),

{{ apportioned('claims', pool, bases()) }},

final as (

    select
        billing_month,
        payer_account_id,
        claimant_account_id as usage_account_id,
        region_code,
        usage_type_prefix,
        usage_hour,
        claimant as instance_id,
        claimant_type as instance_type,
        case when is_left then claimant end as host_id,
        -- What is left of a host offers that part of its hour.
        case
            when is_left
                then {{ integer_divide('left_seconds * weight', 'total_weight') }}
            else 0
        end::bigint as usage_seconds,
        {% for basis in bases() -%}
        {{ basis }}_part_usd::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from apportioned
    where weight > 0
    union all
    -- A host that nothing runs on is a node-hour without pods, as large as its largest
    -- type; one of a family that the catalogue lacks has no size to be split by.
    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        usage_type_prefix,
        usage_hour,
        case when largest_type is not null then host_id end as instance_id,
        largest_type as instance_type,
        host_id,
        host_seconds as usage_seconds,
        {% for basis in bases() -%}
        {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from ranked_hosts
    where
        not (
            used_vcpu_seconds > 0
            and (vcpu_seconds_before = 0 or vcpu_seconds_before < used_vcpu_seconds)
        )

)

select * from final
