with

{{ told_bases() }},

costs as (

    select
        billing_month,
        payer_account_id,
        origin,
        {% for basis in bases() -%}
        sum({{ basis }}_usd) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('int_costs__undistributed') }}
    group by billing_month, payer_account_id, origin

),

charges as (

    select
        billing_month,
        bill_payer_account_id as payer_account_id,
        origin,
        {% for basis in bases() -%}
        sum({{ basis }}_usd) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('fct_charges') }}
    group by billing_month, bill_payer_account_id, origin

),

{{ crossing_rules() }},

by_payer as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        origins.origin,
        crossing.rules as crossing_rules,
        coalesce({{ of_basis('costs') }}, 0) as cost_usd,
        coalesce({{ of_basis('charges') }}, 0) as charged_usd
    from bases
    cross join
        (
            values ('split'), ('pod'), ('unused'), ('unallocated'), ('remainder')
        ) as origins (origin)
    left join costs
        on
            bases.billing_month = costs.billing_month
            and bases.payer_account_id = costs.payer_account_id
            and origins.origin = costs.origin
    left join charges
        on
            bases.billing_month = charges.billing_month
            and bases.payer_account_id = charges.payer_account_id
            and origins.origin = charges.origin
    left join crossing on bases.billing_month = crossing.billing_month

),

compared as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        origin,
        case
            when crossing_rules is null then cost_usd
            else sum(cost_usd) over (partition by billing_month, cost_basis, origin)
        end as cost_usd,
        case
            when crossing_rules is null then charged_usd
            else sum(charged_usd) over (partition by billing_month, cost_basis, origin)
        end as charged_usd
    from by_payer

),

final as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        sum(cost_usd) as expected_usd,
        sum(charged_usd) as actual_usd,
        max(abs(cost_usd - charged_usd)) as residual_usd,
        max(abs(cost_usd - charged_usd)) = 0 as is_passed,
        count(*) || ' origins'
        || coalesce(
            ', differs: ' || {{ list_text('origin', 'cost_usd <> charged_usd') }}, ''
        ) as evidence
    from compared
    group by billing_month, payer_account_id, cost_basis

)

select * from final
