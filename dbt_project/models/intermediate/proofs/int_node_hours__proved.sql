{{ config(materialized='incremental') }}

with

weighed as (

    {{ weighed_node_hours() }}

),

pod_costs as (

    select * from {{ source('split', 'pod_costs') }}

),

unallocated_costs as (

    select * from {{ source('split', 'unallocated_costs') }}

),

parts as (

    select
        billing_month,
        payer_account_id,
        instance_id,
        usage_hour,
        {% for resource in resources() -%}
        {% for basis in bases() -%}
        {{ resource }}_{{ basis }}_split_usd + {{ resource }}_{{ basis }}_unused_usd
            as {{ resource }}_{{ basis }}_usd
        {{- ',' if not (loop.last and resource == resources()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from pod_costs
    -- Pods on Fargate are on no node-hour.
    where instance_id is not null
    union all
    select
        billing_month,
        payer_account_id,
        instance_id,
        usage_hour,
        {% for resource in resources() -%}
        {% for basis in bases() -%}
        case
            when resource = '{{ resource }}' then {{ basis }}_usd
            else {{ zero_if_known(basis ~ '_usd') }}
        end
        {{- ',' if not (loop.last and resource == resources()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from unallocated_costs

),

summed as (

    select
        billing_month,
        payer_account_id,
        instance_id,
        usage_hour,
        {% for resource in resources() -%}
        {% for basis in bases() -%}
        sum({{ resource }}_{{ basis }}_usd) as {{ resource }}_{{ basis }}_usd
        {{- ',' if not (loop.last and resource == resources()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from parts
    group by billing_month, payer_account_id, instance_id, usage_hour

),

-- Full: a node-hour that lost all its parts must show, and so must parts of none.
compared as (

    select
        coalesce(weighed.billing_month, summed.billing_month) as billing_month,
        coalesce(weighed.payer_account_id, summed.payer_account_id) as payer_account_id,
        coalesce(weighed.instance_id, summed.instance_id) as instance_id,
        coalesce(weighed.usage_hour, summed.usage_hour) as usage_hour,
        {% for basis in bases() -%}
        {% for resource in resources() -%}
        coalesce(weighed.{{ resource }}_{{ basis }}_usd, 0)::decimal(38, 10)
            as {{ resource }}_{{ basis }}_expected,
        coalesce(summed.{{ resource }}_{{ basis }}_usd, 0)::decimal(38, 10)
            as {{ resource }}_{{ basis }}_actual,
        {% endfor -%}
        coalesce(weighed.{{ basis }}_usd, 0)::decimal(38, 10)
            as node_hour_{{ basis }}_expected,
        (
            {% for resource in resources() -%}
            coalesce(summed.{{ resource }}_{{ basis }}_usd, 0){{ ' +' if not loop.last }}
            {% endfor -%}
        )::decimal(38, 10) as node_hour_{{ basis }}_actual{{ ',' if not loop.last }}
        {% endfor %}
    from weighed
    full outer join summed
        on
            weighed.billing_month = summed.billing_month
            and weighed.payer_account_id = summed.payer_account_id
            and weighed.instance_id = summed.instance_id
            and weighed.usage_hour = summed.usage_hour

),

proved as (

    select
        billing_month,
        payer_account_id,
        count(*) as node_hour_count,
        {% for basis in bases() -%}
        {% for item in ['node_hour'] + resources() -%}
        sum({{ item }}_{{ basis }}_expected)::decimal(38, 10)
            as {{ item }}_{{ basis }}_expected,
        sum({{ item }}_{{ basis }}_actual)::decimal(38, 10)
            as {{ item }}_{{ basis }}_actual,
        max(abs({{ item }}_{{ basis }}_expected - {{ item }}_{{ basis }}_actual))
            as {{ item }}_{{ basis }}_worst,
        max_by(
            instance_id || ' at ' || {{ utc_text('usage_hour') }},
            {{ pair(
                'abs(' ~ item ~ '_' ~ basis ~ '_expected - ' ~ item ~ '_' ~ basis ~ '_actual)',
                'instance_id || ' ~ utc_text('usage_hour')
            ) }}
        ) filter (where {{ item }}_{{ basis }}_expected <> {{ item }}_{{ basis }}_actual)
            as {{ item }}_{{ basis }}_offender
        {{- ',' if not (loop.last and basis == bases()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from compared
    group by billing_month, payer_account_id

),

final as (

    {% for basis in bases() -%}
    {% for item in ['node_hour'] + resources() -%}
    select
        billing_month,
        payer_account_id,
        '{{ item }}' as item,
        '{{ basis }}' as cost_basis,
        node_hour_count,
        {{ item }}_{{ basis }}_expected as expected_usd,
        {{ item }}_{{ basis }}_actual as actual_usd,
        {{ item }}_{{ basis }}_worst::decimal(38, 10) as worst_residual_usd,
        {{ item }}_{{ basis }}_offender as offender
    from proved
    {% if not (loop.last and basis == bases()[-1]) %}union all{% endif %}
    {% endfor -%}
    {% endfor %}
)

select * from final
