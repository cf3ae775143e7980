{{ config(materialized='incremental') }}

{%- set group = [
    'billing_month', 'payer_account_id', 'usage_account_id', 'region_code',
    'instance_type', 'usage_hour',
] %}

with

shared as (

    select * from {{ ref('int_bill_lines__shared') }}

),

-- SageMaker bills a HyperPod cluster's instances by type and hour, without their ids.
lines as (

    select
        {% for key in group %}{{ key }},
        {% endfor -%}
        max(usage_type_prefix) as usage_type_prefix,
        sum(usage_seconds)::bigint as billed_seconds,
        {% for basis in bases() -%}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from shared
    where role = 'cluster'
    group by {{ group | join(', ') }}

),

-- A node that has a line of its own pays that alone.
billed_nodes as (

    select distinct
        billing_month,
        instance_id,
        usage_hour
    from shared
    where role = 'node_of_cluster'

),

known_nodes as (

    select
        billing_month,
        usage_hour,
        instance_id,
        regexp_replace(instance_type, '^ml[.]', '') as instance_type,
        coalesce({{ label('labels', 'topology.kubernetes.io/region') }}, '') as region_code
    from {{ ref('stg_k8s__node_hours') }}
    where
        exists (select 1 from lines)
        and (instance_type like 'ml.%' or node_name like 'hyperpod-%')

),

nodes as (

    select
        known_nodes.*,
        row_number() over (
            partition by
                known_nodes.billing_month,
                known_nodes.usage_hour,
                known_nodes.instance_type,
                known_nodes.region_code
            order by known_nodes.instance_id
        ) as place
    from known_nodes
    left join billed_nodes
        on
            known_nodes.billing_month = billed_nodes.billing_month
            and known_nodes.instance_id = billed_nodes.instance_id
            and known_nodes.usage_hour = billed_nodes.usage_hour
    where billed_nodes.instance_id is null

),

-- Which account has which node is nowhere said: each has as many as it is billed for.
claimants as (

    select
        {% for key in group %}lines.{{ key }},
        {% endfor -%}
        lines.usage_type_prefix,
        nodes.instance_id,
        nodes.place,
        sum({{ integer_divide('lines.billed_seconds + 3599', '3600') }}) over (
            partition by nodes.billing_month, nodes.instance_id, nodes.usage_hour
            order by lines.payer_account_id, lines.usage_account_id, lines.region_code
            rows unbounded preceding
        ) as last_place,
        3600::bigint as node_seconds
    from lines
    inner join nodes
        on
            lines.billing_month = nodes.billing_month
            and lines.usage_hour = nodes.usage_hour
            and lines.instance_type = nodes.instance_type
            and nodes.region_code in ('', lines.region_code)

),

-- Nodes beyond what is billed, like one that took another's place within the hour, go to
-- the last account.
placed as (

    select *
    from (
        select
            *,
            row_number() over (
                partition by billing_month, instance_id, usage_hour
                order by
                    case when place <= last_place then 0 else 1 end,
                    abs(last_place - place),
                    payer_account_id,
                    usage_account_id,
                    region_code
            ) as choice
        from claimants
    ) as chosen
    where choice = 1

),

counted as (

    select
        {% for key in group %}{{ key }},
        {% endfor -%}
        count(*) as node_count
    from placed
    group by {{ group | join(', ') }}

),

claims as (

    select
        {% for key in group %}lines.{{ key }},
        {% endfor -%}
        lines.usage_type_prefix,
        placed.instance_id as claimant,
        false as is_left,
        least(
            placed.node_seconds,
            {{ integer_divide('lines.billed_seconds', 'counted.node_count') }}
        )::bigint as usage_seconds,
        case
            when lines.billed_seconds >= 3600 * counted.node_count then placed.node_seconds
            else 1
        end::bigint as weight,
        {% for basis in bases() -%}
        lines.{{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from lines
    inner join placed
        on
            {% for key in group -%}
            {{ same('lines.' ~ key, 'placed.' ~ key) }}{{ ' and' if not loop.last }}
            {% endfor %}
    inner join counted
        on
            {% for key in group -%}
            {{ same('lines.' ~ key, 'counted.' ~ key) }}{{ ' and' if not loop.last }}
            {% endfor %}
    union all
    select
        {% for key in group %}lines.{{ key }},
        {% endfor -%}
        lines.usage_type_prefix,
        null as claimant,
        true as is_left,
        0 as usage_seconds,
        case
            when counted.node_count is null then 1
            else greatest(lines.billed_seconds - 3600 * counted.node_count, 0)
        end::bigint as weight,
        {% for basis in bases() -%}
        lines.{{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from lines
    left join counted
        on
            {% for key in group -%}
            {{ same('lines.' ~ key, 'counted.' ~ key) }}{{ ' and' if not loop.last }}
            {% endfor %}

),

{{ apportioned('claims', group, bases()) }},

final as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        usage_type_prefix,
        usage_hour,
        claimant as instance_id,
        instance_type,
        usage_seconds,
        {% for basis in bases() -%}
        {{ basis }}_part_usd::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from apportioned
    where weight > 0

)

select * from final
