{{ config(materialized='incremental') }}

{%- set group = [
    'billing_month', 'payer_account_id', 'usage_account_id', 'region_code',
    'instance_type', 'usage_hour',
] %}

with

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
    from {{ ref('int_bill_lines__shared') }}
    where role = 'cluster'
    group by {{ group | join(', ') }}

),

nodes as (

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

claimants as (

    select
        {% for key in group %}lines.{{ key }},
        {% endfor -%}
        lines.usage_type_prefix,
        nodes.instance_id,
        3600::bigint as node_seconds
    from lines
    inner join nodes
        on
            lines.billing_month = nodes.billing_month
            and lines.usage_hour = nodes.usage_hour
            and lines.instance_type = nodes.instance_type
            and nodes.region_code in ('', lines.region_code)

),

-- A node that two accounts' lines could be of counts for the first.
placed as (

    select *
    from (
        select
            *,
            row_number() over (
                partition by billing_month, instance_id, usage_hour
                order by payer_account_id, usage_account_id, region_code
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
